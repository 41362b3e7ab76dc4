"""Silence for converters that print, warn and log as they like, from Python and from C."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress

_LOCK = threading.RLock()  # two threads that overlap would restore each other's silence


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing reaches standard output or error, no warning is raised, and nothing is logged.

    It holds for the whole process: errors have to come as exceptions.
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
        flush = ctypes.CDLL(None).fflush  # C keeps what it prints until its buffer is full
        flush(None)
        for descriptor in (1, 2):
            with suppress(OSError):
                _to_nowhere(descriptor, stack)
        stack.callback(flush, None)
        yield


def _to_nowhere(descriptor: int, stack: ExitStack) -> None:
    saved = os.dup(descriptor)
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
    finally:
        os.close(nowhere)
