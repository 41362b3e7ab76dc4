"""Standard streams that are closed or full."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from prunnet_export._errors import StorageError

_NAMES = ("stdin", "stdout", "stderr")


def open_missing_streams() -> None:
    """Put the null device in place of closed standard streams.

    Else the next file that is opened would be standard output, and a library that prints would write into it.

    Raises:
        StorageError: stdout is closed, so the result could not be printed.
    """
    closed = [name for name in _NAMES if getattr(sys, name) is None]
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number that is free
        if name in closed:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # it stays open
    if "stdout" in closed:
        raise StorageError("stdout is closed, and the result is printed there", hint="redirect it, e.g. >/dev/null")


def escape_the_rest() -> None:
    """Print a character that the terminal or the file cannot hold as an escape. Windows has such terminals."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # it writes what was printed before, and the reader may be gone
                stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that Python reports no write error at exit."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):  # it may be a buffer in memory
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
