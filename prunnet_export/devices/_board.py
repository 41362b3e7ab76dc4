"""The process on a board that runs workers in a private folder while a host is connected.

ssh starts it as ``python -m prunnet_export.devices._board``. When its standard input ends for any reason, it stops its
worker, removes its folder and ends. After a power cut, the next such process removes the folder.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from types import FrameType
from typing import IO, NoReturn, cast

import msgspec

from prunnet_export._cache_folder import cache_folder
from prunnet_export._imports import installed_version
from prunnet_export.devices._frames import GREETING, SCRATCH, Answer, Ask, Hello, Put, Stored
from prunnet_export.devices._local import start_worker

PREFIX = "ssh-"
_CHUNK = 2**20
_EXIT_S = 10.0
_ERROR_BYTES = 2**12  # so many bytes at the end of a worker's standard error are sent


class _HostGoneError(Exception):
    """The connection to the host has ended."""


def main() -> None:
    """Serve the host on standard input and output until the connection ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    version = installed_version("prunnet-export")
    with suppress(BrokenPipeError, _HostGoneError), ExitStack() as held:
        out = held.enter_context(os.fdopen(os.dup(1), "wb"))
        os.dup2(2, 1)  # what libraries print goes to standard error, so that the host reads only messages
        try:
            folder = held.enter_context(private_folder(cache_folder()))
        except OSError as error:
            _send(out, Hello(version=version, error=_reason(error)), before=GREETING)
            return
        _send(out, Hello(version=version, folder=str(folder)), before=GREETING)
        serve(folder, sys.stdin.buffer, out)


def serve(folder: Path, host: IO[bytes], out: IO[bytes]) -> None:
    """Answer the host's messages until the connection ends. They name files in ``folder``."""
    while line := host.readline():
        message = msgspec.json.decode(line, type=Put | Ask)
        if isinstance(message, Put):
            _send(out, _store_file(message, folder, host))
        else:
            _send(out, *_run_worker(message, folder, host))


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A new folder for this user, removed at the end. First, folders are removed whose process has died.

    A process locks its folder, so a folder without a lock was left behind. The age does not decide, because many boards
    have no clock that survives a power cut. If the file system has no locks, no folder is removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _locked(parent, fcntl.LOCK_EX):
            for leftover in parent.glob(f"{PREFIX}*"):
                with suppress(OSError), _locked(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
                    if locked:
                        shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_locked(folder, fcntl.LOCK_EX))
        yield folder


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[bool]:
    """Lock a folder for this process, not for its workers. Yields whether that worked."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, operation)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _store_file(message: Put, folder: Path, host: IO[bytes]) -> Stored:
    """Write a file. If that fails, its bytes are read anyway, because the next message follows them."""
    place, chunks, error = folder / message.name, _read_chunks(host, message.size), ""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.writelines(chunks)
    except OSError as caught:
        error = _reason(caught)
        with suppress(OSError):
            place.unlink()
    for _ in chunks:
        pass
    return Stored(error=error)


def _read_chunks(host: IO[bytes], remaining: int) -> Iterator[bytes]:
    while remaining:
        chunk = host.read(min(remaining, _CHUNK))
        if not chunk:
            raise _HostGoneError
        remaining -= len(chunk)
        yield chunk


def _run_worker(message: Ask, folder: Path, host: IO[bytes]) -> tuple[Answer, bytes, bytes, bytes]:
    """Run a worker on a request: the answer, the worker's reply, the end of its standard error, and its output file."""
    scratch = folder / SCRATCH
    try:
        output_file = folder / message.output if message.output else None
        if output_file:
            output_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as errors, start_worker(errors=errors) as worker:
            try:
                reply = _read_reply(worker, bytes(message.request), host, message.timeout)
            except TimeoutExpired:
                worker.kill()
                return Answer(), b"", b"", b""
            except BaseException:
                worker.kill()
                raise
            code = _exit_code(worker)
            errors.seek(-min(_ERROR_BYTES, errors.seek(0, os.SEEK_END)), os.SEEK_END)
            stderr_end = errors.read()
        output = output_file.read_bytes() if output_file and output_file.is_file() else b""
    except OSError as error:
        return Answer(error=_reason(error)), b"", b"", b""
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Answer(code=code, reply=len(reply), errors=len(stderr_end), output=len(output)), reply, stderr_end, output


def _read_reply(worker: Popen[bytes], request: bytes, host: IO[bytes], timeout: float) -> bytes:
    """All that a worker writes to standard output; raises if the connection ends or the time is over before.

    It waits for events and does not poll. Polling twice a second would change the high percentiles of latencies on a
    small board.
    """
    to_worker, from_worker = cast("IO[bytes]", worker.stdin), cast("IO[bytes]", worker.stdout)
    with suppress(BrokenPipeError), to_worker:
        to_worker.write(request)
    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    while True:
        ready, _, _ = select.select([host, from_worker], [], [], max(0.0, deadline - time.monotonic()))
        if host in ready:  # a connected host sends nothing before it has the answer
            raise _HostGoneError
        if not ready:
            raise TimeoutExpired(worker.args, timeout)
        chunk = os.read(from_worker.fileno(), _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _exit_code(worker: Popen[bytes]) -> int:
    """The exit code of a worker that has replied. It is killed if it does not end, as an engine may hang at exit."""
    with suppress(TimeoutExpired):
        return worker.wait(_EXIT_S)
    worker.kill()
    return worker.wait()


def _send(out: IO[bytes], message: msgspec.Struct, *bodies: bytes, before: bytes = b"") -> None:
    out.write(before + msgspec.json.encode(message) + b"\n")
    out.writelines(bodies)
    out.flush()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _HostGoneError


if __name__ == "__main__":
    main()
