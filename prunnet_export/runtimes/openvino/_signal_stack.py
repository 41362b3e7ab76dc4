"""The stack on which a thread runs its signal handlers, which OpenVINO's CPU plugin replaces by one of its own."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    # stack_t of Linux's signal.h.
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def same_signal_stack() -> Iterator[None]:
    """This thread ends with the signal stack that it began with, whichever engines come and go meanwhile.

    The CPU plugin of each engine gives the thread a stack. When it goes it unmaps it and, if it is still in use, brings
    back the one that it found. Of two engines that overlap, the later one so brings back that of the earlier one, which
    is gone if that engine went first: the next signal that Python handles ends the process, wherever it is, or
    is written over what lies there by now. An engine that goes after this finds another stack than its own, and leaves
    it alone.
    """
    if sys.platform != "linux":  # elsewhere the plugin sets none
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)


def signal_stack() -> int | None:
    """Where the one of this thread begins."""
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    start: int | None = stack.start
    return start
