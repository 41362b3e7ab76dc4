"""This machine as a device. Every request runs in a new process."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

import msgspec

from prunnet_export._child import child_command, inherited
from prunnet_export._errors import Unreachable
from prunnet_export._files import PACKAGE_HOME
from prunnet_export.devices._base import TIMEOUT_S, Device, raise_again
from prunnet_export.devices._frames import LARGEST_REPLY
from prunnet_export.devices._pipes import Patience, Tail, TimeLimitError, TooLongError, exchange
from prunnet_export.devices._protocol import ErrorReply, Reply, Request, encode_request

_WORKER = "prunnet_export.devices._worker"
_EXIT_S = 10.0
_LONGEST = 2000  # characters of a message


class LocalDevice(Device):
    """This machine.

    The worker inherits only the environment. It does not start in this process's folder, because Python would import
    modules from it in place of libraries.
    """

    def __repr__(self) -> str:
        return "LocalDevice()"

    def run(self, request: Request, *, timeout: float = TIMEOUT_S) -> Reply:
        """The reply to a request. Its paths must be absolute."""
        try:
            ended = run_worker(encode_request(request), Patience(timeout))
        except TimeLimitError:
            raise timeout_error(timeout) from None
        return parse_reply(ended.code, ended.reply, ended.errors)


@dataclass(frozen=True)
class Ended:
    """A worker that has ended: its exit code as in :class:`subprocess.Popen`, its reply, the end of its errors."""

    code: int
    reply: bytes
    errors: bytes


def run_worker(request: bytes, patience: Patience) -> Ended:
    """Run a worker on one request. It does not outlive this call.

    Raises:
        TimeLimitError: it does not answer in time.
        HungUpError: the host is not there any more.
    """
    with _start_worker() as worker:
        to_worker, from_worker, errors = (
            cast("IO[bytes]", pipe) for pipe in (worker.stdin, worker.stdout, worker.stderr)
        )
        try:
            tail = Tail(errors)
            reply = exchange(to_worker, from_worker, request, patience, most=LARGEST_REPLY)
            return Ended(_exit_code(worker), reply, tail.end())
        except TooLongError:
            worker.kill()
            return Ended(1, b"", b"it writes without end")
        except BaseException:  # after Ctrl-C too, the worker must not keep running
            worker.kill()
            raise


def _start_worker() -> subprocess.Popen[bytes]:
    """Start a worker that waits for a request."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        child_command(_WORKER),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        cwd=PACKAGE_HOME,
        pass_fds=inherited(),
    )


def _exit_code(worker: subprocess.Popen[bytes]) -> int:
    """The exit code of a worker that has replied. It is killed if it does not end, as an engine may hang at exit."""
    with suppress(subprocess.TimeoutExpired):
        return worker.wait(_EXIT_S)
    worker.kill()
    return worker.wait()


def parse_reply(code: int, out: bytes, err: bytes) -> Reply:
    """The reply of a worker that has ended with an exit code as in :class:`subprocess.Popen`.

    Raises:
        Unreachable: the worker died without a reply.
        PrunnetError: the reply is an error.
    """
    try:
        reply: Reply = msgspec.json.decode(out, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _exit_error(code, err.decode(errors="replace")) from None
    if isinstance(reply, ErrorReply):
        short = {field: getattr(reply, field)[:_LONGEST] for field in ("message", "hint")}
        raise_again(msgspec.structs.replace(reply, **short))
    return reply


def timeout_error(timeout: float) -> Unreachable:
    """The error of a worker that was killed after its timeout."""
    return Unreachable(f"the worker did not answer within {timeout:g} s", hint="the machine may be busy; try again")


def _exit_error(code: int, stderr: str) -> Unreachable:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = "the system may have run out of memory" if name == "SIGKILL" else "the engine crashed on this model"
        return Unreachable(f"the worker was killed by {name}", hint=hint)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = f": {lines[-1][:160]}" if lines else ""
    return Unreachable(f"the worker ended with code {code} and no reply{last}", hint="run the same command again")
