"""A setting of the C library that makes training steps faster."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory for the next step.

    By default malloc returns large blocks to the kernel. Then each step gets new pages, and zeroing these takes longer
    than writing the data. Nothing happens with another C library. Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt; Windows has no C library to load
        return
    mallopt(_TRIM_THRESHOLD, -1)
    mallopt(_TOP_PAD, 64 * 2**20)
    mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # glibc accepts no more
