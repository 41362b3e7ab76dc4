"""Hides what engines and converters print, warn and log, from Python and from C."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress

from prunnet_export._system import WINDOWS

_LOCK = threading.RLock()  # if two threads overlapped, one would restore the other's redirected streams


@contextmanager
def silenced() -> Iterator[Callable[[], str]]:
    """Hide standard output, standard error, warnings and log lines of the whole process.

    Yields:
        A function that returns what C code has printed so far.
    """
    with _LOCK, ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        _flush_python()
        # The two buffers are never closed, because a logger that is set up meanwhile keeps using them.
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        yield stack.enter_context(captured(1, 2))


@contextmanager
def captured(*descriptors: int) -> Iterator[Callable[[], str]]:
    """Collect what C code prints to these descriptors. They belong to the whole process.

    Yields:
        A function that returns what was printed so far.
    """
    _flush_python()
    with _LOCK, ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        flush = _c_flush()
        flush(None)
        for descriptor in descriptors:
            with suppress(OSError):
                _redirect(descriptor, file.fileno(), stack)
        stack.callback(flush, None)

        def printed() -> str:
            flush(None)
            return _content(file.fileno()).decode(errors="replace")

        yield printed


def _c_flush() -> Callable[[None], object]:
    """The function that writes what C has buffered; one that does nothing if there is no C library to load."""
    try:
        flush: Callable[[None], object] = ctypes.CDLL("ucrtbase" if WINDOWS else None).fflush
    except (AttributeError, OSError, TypeError):
        return lambda _: None
    return flush


def _content(handle: int) -> bytes:
    """What is in an open file, without a change of the place where C writes next."""
    size = os.fstat(handle).st_size
    if hasattr(os, "pread"):
        return os.pread(handle, size, 0)
    place = os.lseek(handle, 0, os.SEEK_CUR)
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        return os.read(handle, size)
    finally:
        os.lseek(handle, place, os.SEEK_SET)


def _flush_python() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it may be closed
            stream.flush()


def _redirect(descriptor: int, target: int, stack: ExitStack) -> None:
    """Redirect a descriptor to ``target`` until the stack is closed."""
    saved = os.dup(descriptor)
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, descriptor)
    os.dup2(target, descriptor)
