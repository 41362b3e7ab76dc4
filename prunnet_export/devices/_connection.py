"""A connection to a board: one ssh process here, one process on the board, and messages between them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shutil import which
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO, TypeVar, cast

import msgspec

from prunnet_export._errors import Unreachable, UsageError
from prunnet_export._imports import installed_version
from prunnet_export.devices._address import Address
from prunnet_export.devices._frames import GREETING, HEARTBEAT_S, Answer, Ask, Hello, Put, Stored
from prunnet_export.devices._pipes import Patience, Reader, Tail, TimeLimitError, TooLongError, write_all
from prunnet_export.devices._ssh_errors import explain

M = TypeVar("M", Stored, Answer)

_BOARD = "prunnet_export.devices._board"
_OPTIONS = {
    "BatchMode": "yes",  # ssh never asks for a password
    "ConnectTimeout": "10",
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ControlMaster": "no",  # a new master would keep our pipes open; an existing master is used
}
_GREETING_S = 60.0  # a small board needs seconds to import the package
_GREETING_LINES = 1000
_GRACE_S = 30.0  # time to answer after the worker's own timeout
_ANSWER_S = 30.0  # time to take or send a file, and the bytes per second that a network has at least
_LEAST_RATE = 2**16
_BUFFERED = 2**24  # so many bytes may be on the way when all are written
_SILENCE_S = 3 * HEARTBEAT_S
_NOT_OURS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TooLongError)
_HANG_UP_S = 10.0


class ConnectionLostError(Unreachable):
    """The connection broke after it was made."""


class Connection:
    """An open connection to a board, which keeps a private folder until the connection ends.

    Attributes:
        folder: Absolute path of the private folder on the board.
        stored: Names of the models in the private folder.

    Raises:
        Unreachable: the board cannot be reached, or it has no or another version of this package.
        UsageError: ssh is not installed on this machine.
    """

    def __init__(self, address: Address) -> None:
        ssh = which("ssh")
        if ssh is None:
            raise UsageError("ssh is not installed", hint="install the OpenSSH client")
        options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
        self._address = address
        self._greeted = False
        # ssh gets a session of its own, so that Ctrl-C does not stop it before the connection is closed.
        self._ssh = Popen(
            [ssh, "-T", "-x", "-a", *options, *address.ssh_arguments(), address.command(_BOARD)],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            bufsize=0,
            start_new_session=True,
        )
        pipes = [cast("IO[bytes]", pipe) for pipe in (self._ssh.stdin, self._ssh.stdout, self._ssh.stderr)]
        self._in, self._out, self._errors = pipes[0], Reader(pipes[1]), Tail(pipes[2])
        self.close = weakref.finalize(self, _hang_up, self._ssh, *pipes)
        """End the connection and wait until the board has removed the folder. It is called at exit too."""
        with self._closed_after_errors():
            hello = self._read_greeting()
            self._check(hello)
        self._greeted = True
        self.folder = hello.folder
        self.stored: set[str] = set()

    def put(self, name: str, content: bytes) -> Stored:
        """Write a file into the private folder."""
        patience = Patience(_ANSWER_S + min(len(content), _BUFFERED) / _LEAST_RATE, silence=_SILENCE_S)
        with self._closed_after_errors():
            return self._exchange(Stored, Put(name=name, size=len(content)), content, patience)

    def ask(
        self, request: bytes, *, timeout: float, output: str | None, largest: int
    ) -> tuple[Answer, bytes, bytes, bytes]:
        """Run a worker on a request: the answer, the worker's reply, its standard error, and its output file.

        Args:
            request: The document for the worker.
            timeout: Seconds for the worker.
            output: Path of its output file in the private folder; None for no file.
            largest: Largest size of that file, bytes.
        """
        message = Ask(request=msgspec.Raw(request), timeout=timeout, output=output)
        with self._closed_after_errors():
            answer = self._exchange(Answer, message, b"", Patience(timeout + _GRACE_S, silence=_SILENCE_S))
            if answer.output > largest:
                raise TooLongError
            patience = Patience(_ANSWER_S + answer.output / _LEAST_RATE, silence=_SILENCE_S)
            reply, errors, content = (
                self._out.exactly(size, patience) for size in (answer.reply, answer.errors, answer.output)
            )
        return answer, reply, errors, content

    def _exchange(self, kind: type[M], message: Put | Ask, content: bytes, patience: Patience) -> M:
        writing = Patience(_ANSWER_S + len(content) / _LEAST_RATE, silence=_SILENCE_S)
        for part in (msgspec.json.encode(message) + b"\n", content):
            write_all(self._in, part, writing)
        while not (line := self._out.line(patience)).strip():  # a heartbeat
            pass
        return msgspec.json.decode(line, type=kind)

    @contextmanager
    def _closed_after_errors(self) -> Iterator[None]:
        """Close the connection after an error in the middle of a message: the start of the next one is unknown."""
        try:
            yield
        except TimeLimitError as error:
            self._ssh.kill()
            self.close()
            raise Unreachable(f"{self._address} {error}", hint="the board may be busy; try again") from None
        except _NOT_OURS:
            self.close()
            raise self._misunderstanding() from None
        except (OSError, EOFError):
            self.close()
            raise self._lost() from None
        except BaseException:
            self.close()
            raise

    def _read_greeting(self) -> Hello:
        self._out.first(Patience(_GREETING_S))
        patience = Patience(_GREETING_S, silence=_SILENCE_S)
        for _ in range(_GREETING_LINES):
            _, greeting, document = self._out.line(patience).partition(GREETING + b"{")
            if greeting:
                return msgspec.json.decode(b"{" + document, type=Hello)
        raise EOFError

    def _check(self, hello: Hello) -> None:
        local_version = installed_version("prunnet-export")
        if hello.version != local_version:
            raise Unreachable(
                f"prunnet-export is {hello.version} on {self._address} and {local_version} here",
                hint=f"install {local_version} there: both sides need the same version",
            )
        if hello.error:
            raise Unreachable(
                f"no cache folder can be made on {self._address}: {hello.error}",
                hint="free some space there, or let the user write to it",
            )

    def _misunderstanding(self) -> Unreachable:
        """The error of a board that sends something else than messages."""
        if not self._greeted:
            return self._lost()
        return Unreachable(
            f"{self._address} sent what is no answer of this package",
            hint="both sides need the same version of this package",
        )

    def _lost(self) -> Unreachable:
        """Why the board stopped answering."""
        errors = self._errors.end().decode(errors="replace")
        message, hint = explain(self._address, self._ssh.returncode, errors, greeted=self._greeted)
        return (ConnectionLostError if self._greeted else Unreachable)(message, hint=hint)


def _hang_up(ssh: Popen[bytes], *pipes: IO[bytes]) -> None:
    """End the connection. Then the board removes its folder, and ssh ends after it."""
    for pipe in pipes:
        with suppress(OSError):
            pipe.close()
    try:
        ssh.wait(_HANG_UP_S)
    except TimeoutExpired:
        ssh.kill()
        ssh.wait()
