"""Pipes of a child process, read and written within limits of time and size."""

from __future__ import annotations

import math
import os
import select
import time
from contextlib import suppress
from threading import Thread
from typing import IO

LINE = 2**16
"""The longest line that is read, bytes."""

_CHUNK = 2**20
_KEPT = 2**16  # so many bytes at the end of a standard error are kept
_JOIN_S = 1.0  # on Windows, Ctrl-C is not seen before a thread that waits for another goes on


class TimeLimitError(Exception):
    """The other side was not ready in time. The text says what it did not do."""


class TooLongError(Exception):
    """The other side sent more than it may."""


class HungUpError(Exception):
    """The process that waits for the result has ended its connection."""


class Patience:
    """How long to wait for the other side.

    Args:
        within: Seconds for everything.
        silence: Seconds until the next byte at the latest.
        host: A pipe that becomes readable when the result is not wanted any more; None if there is none.
    """

    def __init__(self, within: float, *, silence: float = math.inf, host: IO[bytes] | None = None) -> None:
        self._within, self._silence, self._host = within, silence, host
        self._end = time.monotonic() + within

    def join(self, thread: Thread) -> None:
        """Wait until a thread has ended; raises TimeLimitError if it does not end in time."""
        while (left := self._end - time.monotonic()) > 0 and thread.is_alive():
            thread.join(min(left, _JOIN_S))
        if thread.is_alive():
            raise self._late()

    def wait(self, pipe: IO[bytes], event: int) -> None:
        """Wait until a pipe is ready.

        It waits for events and does not poll. Polling twice a second would change the high percentiles of latencies on
        a small board.

        Raises:
            TimeLimitError: the pipe is not ready in time.
            HungUpError: the host is not there any more.
        """
        left = max(0.0, self._end - time.monotonic())
        poll = select.poll()
        poll.register(pipe, event)
        if self._host is not None:
            poll.register(self._host, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(math.ceil(1000 * min(left, self._silence)))]
        if self._host is not None and self._host.fileno() in ready:
            raise HungUpError
        if not ready:
            raise TimeLimitError(f"was silent for {self._silence:g} s") if self._silence < left else self._late()

    def _late(self) -> TimeLimitError:
        return TimeLimitError(f"did not answer within {self._within:g} s")


class Reader:
    """Reads a pipe. Memory grows only with the bytes that have arrived.

    Its methods raise EOFError if the pipe ends before, and TimeLimitError.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = bytearray()

    def first(self, patience: Patience) -> None:
        """Wait until anything has arrived."""
        if not self._kept:
            self._read_more(patience)

    def line(self, patience: Patience) -> bytes:
        """The next line with its line feed; raises TooLongError if it is longer than ``LINE``."""
        searched = 0
        while (end := self._kept.find(b"\n", searched)) < 0:
            searched = len(self._kept)
            if searched >= LINE:
                raise TooLongError
            self._read_more(patience)
        return self._take(end + 1)

    def exactly(self, size: int, patience: Patience) -> bytes:
        """The next ``size`` bytes."""
        while len(self._kept) < size:
            self._read_more(patience)
        return self._take(size)

    def rest(self, most: int, patience: Patience) -> bytes:
        """All bytes until the end of the pipe; raises TooLongError if they are more than ``most``."""
        with suppress(EOFError):
            while len(self._kept) <= most:
                self._read_more(patience)
            raise TooLongError
        return self._take(len(self._kept))

    def _read_more(self, patience: Patience) -> None:
        patience.wait(self._pipe, select.POLLIN)
        chunk = os.read(self._pipe.fileno(), _CHUNK)
        if not chunk:
            raise EOFError
        self._kept += chunk

    def _take(self, size: int) -> bytes:
        with memoryview(self._kept) as kept:
            taken = bytes(kept[:size])
        del self._kept[:size]
        return taken


class Tail:
    """Reads a pipe all the time, so that it never becomes full, and keeps the end of what it read."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._descriptor = os.dup(pipe.fileno())  # the pipe may be closed while the thread reads
        self._kept = b""
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def end(self, seconds: float = 1.0) -> bytes:
        """The last bytes. It waits for the end of the pipe, which a child of the process may keep open."""
        self._thread.join(seconds)
        return self._kept

    def _read(self) -> None:
        try:
            while chunk := os.read(self._descriptor, _KEPT):
                self._kept = (self._kept + chunk)[-_KEPT:]
        finally:
            os.close(self._descriptor)


def write_all(pipe: IO[bytes], content: bytes, patience: Patience) -> None:
    """Write all bytes to a pipe of this process; raises TimeLimitError, and OSError if nobody reads it any more."""
    os.set_blocking(pipe.fileno(), False)
    remaining = memoryview(content)
    while remaining:
        patience.wait(pipe, select.POLLOUT)
        with suppress(BlockingIOError):
            remaining = remaining[os.write(pipe.fileno(), remaining) :]


def exchange(to_worker: IO[bytes], from_worker: IO[bytes], request: bytes, patience: Patience, *, most: int) -> bytes:
    """Write a request to a process, close the pipe, and read its reply until the end.

    A process that does not read its request may reply all the same.

    Raises:
        TimeLimitError: the process does not answer in time.
        HungUpError: the host is not there any more.
        TooLongError: the reply has more than ``most`` bytes.
    """
    if not hasattr(select, "poll"):
        return _exchange_by_threads(to_worker, from_worker, request, patience, most)
    with suppress(BrokenPipeError):
        write_all(to_worker, request, patience)
    to_worker.close()
    return Reader(from_worker).rest(most, patience)


def _exchange_by_threads(
    to_worker: IO[bytes], from_worker: IO[bytes], request: bytes, patience: Patience, most: int
) -> bytes:
    """The same where no pipe can be waited for, as on Windows."""
    reply, descriptor = bytearray(), os.dup(from_worker.fileno())  # the pipe may be closed while the thread reads

    def write() -> None:
        remaining = memoryview(request)
        with suppress(OSError), to_worker:
            while remaining:
                remaining = remaining[to_worker.write(remaining) :]

    def read() -> None:
        with suppress(OSError), os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while len(reply) <= most and (chunk := pipe.read(_CHUNK)):
                reply.extend(chunk)

    Thread(target=write, daemon=True).start()
    reader = Thread(target=read, daemon=True)
    reader.start()
    patience.join(reader)
    if len(reply) > most:
        raise TooLongError
    return bytes(reply)
