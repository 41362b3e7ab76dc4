"""What C code prints to standard output, kept from there: on it goes a program's result."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

_STDOUT = 1
_LOCK = threading.Lock()  # two that overlap would hand each other's file back as the standard output


@contextlib.contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """Collect what C code prints to descriptor 1 while this is open.

    The descriptor belongs to the whole process: what other threads print meanwhile is collected too.

    Yields:
        A function that gives what was printed so far, one line after another.
    """
    libc = ctypes.CDLL(None)
    with _LOCK, tempfile.TemporaryFile() as file:

        def read() -> str:
            libc.fflush(None)
            size = os.fstat(file.fileno()).st_size
            return os.pread(file.fileno(), size, 0).decode(errors="replace")

        if sys.stdout is not None:
            sys.stdout.flush()
        libc.fflush(None)
        before = os.dup(_STDOUT)
        try:
            os.dup2(file.fileno(), _STDOUT)
            yield read
        finally:
            libc.fflush(None)
            os.dup2(before, _STDOUT)
            os.close(before)
