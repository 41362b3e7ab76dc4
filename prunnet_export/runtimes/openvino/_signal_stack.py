"""Protects the stack on which a thread runs its signal handlers. OpenVINO's CPU plugin replaces it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """``stack_t`` of Linux's signal.h."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def same_signal_stack() -> Iterator[None]:
    """Give the thread back the signal stack that it had at the start of the block.

    OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own. When a ``Core`` is deleted, the
    plugin unmaps that stack and sets the stack that it found before. Where two ``Core`` objects overlap and the first
    is deleted first, the second one sets the stack of the first, which is unmapped. The next signal that Python handles
    then ends the process. After this block the plugin finds another stack than its own, and leaves it as it is.
    """
    if sys.platform != "linux":  # on other systems the plugin sets no stack
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = SignalStack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
