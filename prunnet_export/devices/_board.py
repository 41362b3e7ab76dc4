"""The process on a board that runs workers in a private folder while a host is connected.

ssh starts it as ``python -m prunnet_export.devices._board``. When its standard input ends for any reason, it stops its
worker, removes its folder and ends. After a power cut, the next such process removes the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import IO, NoReturn

import msgspec

from prunnet_export._cache_folder import cache_folder
from prunnet_export._file_locks import lock
from prunnet_export._imports import installed_version
from prunnet_export.devices._frames import GREETING, HEARTBEAT_S, SCRATCH, Answer, Ask, Hello, Put, Stored
from prunnet_export.devices._local import run_worker
from prunnet_export.devices._pipes import HungUpError, Patience, TimeLimitError

PREFIX = "ssh-"
_CHUNK = 2**20
_ERROR_BYTES = 2**12  # so many bytes at the end of a worker's standard error are sent


def main() -> None:
    """Serve the host on standard input and output until the connection ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a board is a POSIX system
        signal.signal(number, _stop)
    version = installed_version("prunnet-export")
    with suppress(BrokenPipeError, HungUpError), ExitStack() as held:
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
            with _heartbeat(out):
                stored = _store_file(message, folder, host)
            _send(out, stored)
        else:
            with _heartbeat(out):
                answer = _run_worker(message, folder, host)
            _send(out, *answer)


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A new folder for this user, removed at the end. First, folders are removed whose process has died.

    A process locks its folder, so a folder without a lock was left behind. The age does not decide, because many boards
    have no clock that survives a power cut. If the file system has no locks, no folder is removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _locked(parent, wait=True):
            for leftover in parent.glob(f"{PREFIX}*"):
                with suppress(OSError), _locked(leftover, wait=False) as locked:
                    if locked:
                        shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_locked(folder, wait=True))
        yield folder


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Lock a folder for this process, not for its workers. Yields whether that worked."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            lock(handle, wait=wait)
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
            raise HungUpError
        remaining -= len(chunk)
        yield chunk


def _run_worker(message: Ask, folder: Path, host: IO[bytes]) -> tuple[Answer, bytes, bytes, bytes]:
    """Run a worker on a request: the answer, the worker's reply, the end of its standard error, and its output file."""
    output_file = folder / message.output if message.output else None
    try:
        if output_file:
            output_file.parent.mkdir(parents=True, exist_ok=True)
        ended = run_worker(bytes(message.request), Patience(message.timeout, host=host))
        output = output_file.read_bytes() if output_file and output_file.is_file() else b""
    except TimeLimitError:
        return Answer(), b"", b"", b""
    except OSError as error:
        return Answer(error=_reason(error)), b"", b"", b""
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    errors = ended.errors[-_ERROR_BYTES:]
    answer = Answer(code=ended.code, reply=len(ended.reply), errors=len(errors), output=len(output))
    return answer, ended.reply, errors, output


@contextmanager
def _heartbeat(out: IO[bytes]) -> Iterator[None]:
    """Until the end of the block, send an empty line from time to time."""
    ended = Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S):
            with suppress(OSError):  # the host is gone, which the main thread sees too
                out.write(b"\n")
                out.flush()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _send(out: IO[bytes], message: msgspec.Struct, *bodies: bytes, before: bytes = b"") -> None:
    out.write(before + msgspec.json.encode(message) + b"\n")
    out.writelines(bodies)
    out.flush()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise HungUpError


if __name__ == "__main__":
    main()
