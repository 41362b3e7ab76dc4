"""This machine as a device. Every request runs in a new process."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import IO

import msgspec

from prunnet_export._errors import Unreachable
from prunnet_export._files import PACKAGE_HOME
from prunnet_export.devices._base import TIMEOUT_S, Device, raise_again
from prunnet_export.devices._protocol import ErrorReply, Reply, Request, encode_request

_WORKER = "prunnet_export.devices._worker"


class LocalDevice(Device):
    """This machine.

    The worker inherits only the environment. It does not start in this process's folder, because Python would import
    modules from it in place of libraries.
    """

    def __repr__(self) -> str:
        return "LocalDevice()"

    def run(self, request: Request, *, timeout: float = TIMEOUT_S) -> Reply:
        """The reply to a request. Its paths must be absolute."""
        with start_worker(errors=subprocess.PIPE) as worker:
            try:
                out, err = worker.communicate(encode_request(request), timeout)
            except subprocess.TimeoutExpired:
                worker.kill()
                raise timeout_error(timeout) from None
            except BaseException:  # after Ctrl-C too, the worker must not keep running
                worker.kill()
                raise
        return parse_reply(worker.returncode, out, err)


def start_worker(*, errors: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a worker that waits for a request and writes its standard error to ``errors``."""
    return subprocess.Popen(
        [sys.executable, "-m", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=PACKAGE_HOME
    )


def parse_reply(code: int, out: bytes, err: bytes) -> Reply:
    """The reply of a worker that has ended with an exit code as in :class:`subprocess.Popen`.

    Raises:
        Unreachable: the worker died without a reply.
        PrunnetError: the reply is an error.
    """
    try:
        reply: Reply = msgspec.json.decode(out, type=Reply)
    except msgspec.MsgspecError:
        raise _exit_error(code, err.decode(errors="replace")) from None
    if isinstance(reply, ErrorReply):
        raise_again(reply)
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
