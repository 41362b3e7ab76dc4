"""Memory that the C library keeps between steps."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what this process frees, for its next step.

    By default it returns large blocks to the kernel, and each step pays for fresh, zeroed pages again, more than for
    what is written to them. Where there is another C library, nothing happens. Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have none; Windows has no such library
        return
    mallopt(_TRIM_THRESHOLD, -1)
    mallopt(_TOP_PAD, 64 * 2**20)
    mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # glibc accepts no more
