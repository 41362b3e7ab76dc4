"""Locks on open files and folders. The system releases them when the process ends."""

from __future__ import annotations

import errno
import importlib
import time
from typing import Any

_POLL_S = 0.1


def lock(handle: int, *, wait: bool) -> None:
    """Take an exclusive lock.

    Args:
        handle: The open file, or an open folder on systems that open folders.
        wait: Whether to wait while another process has the lock.

    Raises:
        BlockingIOError: another process has the lock, and it was not waited for.
        OSError: the file system or this Python has no locks.
    """
    try:
        import fcntl
    except ImportError:
        _lock_on_windows(handle, wait=wait)
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except PermissionError as error:
        if error.errno == errno.EACCES:  # so CIFS says that another process has it
            raise BlockingIOError(errno.EAGAIN, "locked") from None
        raise


def _lock_on_windows(handle: int, *, wait: bool) -> None:
    """Lock the first byte of a file, which need not exist."""
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError:
        raise OSError(errno.ENOTSUP, "this Python has no locks") from None
    while not _locked_on_windows(msvcrt, handle):
        if not wait:
            raise BlockingIOError(errno.EAGAIN, "locked")
        time.sleep(_POLL_S)  # msvcrt's own waiting gives up after ten attempts


def _locked_on_windows(msvcrt: Any, handle: int) -> bool:
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    return True
