"""Silence for engines and converters that print, warn and log as they like, from Python and from C."""

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

_LOCK = threading.RLock()  # two threads that overlap would restore each other's silence


@contextmanager
def silenced() -> Iterator[Callable[[], str]]:
    """Nothing reaches standard output or error, no warning is raised, and nothing is logged.

    It holds for the whole process: errors have to come as exceptions.

    Yields:
        A function that gives what C code has printed so far.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # a closed one has nothing to lose
            stream.flush()
    with _LOCK, ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        # Never closed: a logger that is set up meanwhile keeps it for good.
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        file = stack.enter_context(tempfile.TemporaryFile())
        flush = ctypes.CDLL(None).fflush  # C keeps what it prints until its buffer is full
        flush(None)
        for descriptor in (1, 2):
            with suppress(OSError):
                _redirect(descriptor, file.fileno(), stack)
        stack.callback(flush, None)

        def printed() -> str:
            flush(None)
            return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

        yield printed


def _redirect(descriptor: int, target: int, stack: ExitStack) -> None:
    """Write to ``target`` what goes to a descriptor, until the stack unwinds."""
    saved = os.dup(descriptor)
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, descriptor)
    os.dup2(target, descriptor)
