"""A connection to a board: one ssh process here, one process on the board, and messages between them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, RawIOBase
from shutil import which
from subprocess import PIPE, Popen, TimeoutExpired
from threading import Timer
from typing import IO, TypeVar, cast

import msgspec

from prunnet_export._errors import Unreachable, UsageError
from prunnet_export._imports import installed_version
from prunnet_export.devices._address import Address
from prunnet_export.devices._base import TIMEOUT_S
from prunnet_export.devices._frames import GREETING, Answer, Ask, Hello, Put, Stored
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
_LINE = 2**16
_GRACE_S = 30.0  # time to answer after the worker's own timeout
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
        self._expired_after: float | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe could fill up and block ssh
        weakref.finalize(self, self._errors.close)
        # ssh gets a session of its own, so that Ctrl-C does not stop it before the connection is closed.
        self._ssh = Popen(
            [ssh, "-T", "-x", "-a", *options, *address.ssh_arguments(), address.command(_BOARD)],
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
        )
        self._in = cast("IO[bytes]", self._ssh.stdin)
        self._out: IO[bytes] = BufferedReader(cast("RawIOBase", self._ssh.stdout))
        self.close = weakref.finalize(self, _hang_up, self._ssh, self._in, self._out)
        """End the connection and wait until the board has removed the folder. It is called at exit too."""
        with self._time_limit(_GREETING_S):
            hello = self._read_greeting()
        self._greeted = True
        self.folder = hello.folder
        self.stored: set[str] = set()

    def put(self, name: str, content: bytes) -> Stored:
        """Write a file into the private folder."""
        return self._exchange(Stored, Put(name=name, size=len(content)), content, within=TIMEOUT_S)[0]

    def ask(self, request: bytes, *, timeout: float, output: str | None) -> tuple[Answer, bytes, bytes, bytes]:
        """Run a worker on a request: the answer, the worker's reply, its standard error, and its output file."""
        message = Ask(request=msgspec.Raw(request), timeout=timeout, output=output)
        return self._exchange(Answer, message, within=timeout + _GRACE_S)

    def _exchange(
        self, kind: type[M], message: Put | Ask, content: bytes = b"", *, within: float
    ) -> tuple[M, bytes, bytes, bytes]:
        with self._time_limit(within):
            self._write(msgspec.json.encode(message) + b"\n")
            self._write(content)
            answer = msgspec.json.decode(self._out.readline(_LINE), type=kind)
            sizes = (answer.reply, answer.errors, answer.output) if isinstance(answer, Answer) else (0, 0, 0)
            reply, errors, output = (self._read(size) for size in sizes)
        return answer, reply, errors, output

    @contextmanager
    def _time_limit(self, within: float) -> Iterator[None]:
        """Kill ssh after ``within`` seconds.

        An error in the middle of a message closes the connection, because the start of the next message is unknown.
        """
        timer = Timer(within, self._give_up, [within])
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, EOFError, msgspec.MsgspecError):
            raise self._failure() from None
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def _read_greeting(self) -> Hello:
        for _ in range(_GREETING_LINES):
            line = self._out.readline(_LINE)
            if not line:
                raise EOFError
            if line.startswith(GREETING):
                break
        else:
            raise EOFError
        hello = msgspec.json.decode(line.removeprefix(GREETING), type=Hello)
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
        return hello

    def _give_up(self, seconds: float) -> None:
        self._expired_after = seconds
        self._ssh.kill()

    def _write(self, content: bytes) -> None:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[self._in.write(remaining) :]

    def _read(self, size: int) -> bytes:
        content = self._out.read(size)
        if len(content) < size:
            raise EOFError
        return content

    def _failure(self) -> Unreachable:
        """Why the board stopped answering."""
        self.close()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        if self._expired_after is not None:
            return Unreachable(
                f"{self._address} did not answer within {self._expired_after:g} s",
                hint="the board may be busy; try again",
            )
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
