"""One writer at a time: an advisory lock."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from prunnet_export._errors import StorageError
from prunnet_export._file_locks import lock
from prunnet_export._files import storage_errors
from prunnet_export._guarantees import LOCKS, tolerated
from prunnet_export._system import WINDOWS

_LOG = logging.getLogger(__name__)
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class FolderLock:
    """An exclusive lock on a folder. The system releases it when the process ends.

    A file system without locks keeps nobody out. A warning says so.

    Args:
        folder: The folder; it need not exist.
        file: The lock file, which is made and removed here; None means ``.NAME.lock`` next to the folder NAME.
    """

    def __init__(self, folder: Path, file: Path | None = None) -> None:
        self._folder = folder
        self._file = file or folder.with_name(f".{folder.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StorageError: another process has it, or the file cannot be made.
        """
        if not self.try_acquire():
            raise StorageError(f"another process writes to {self._folder}", hint="wait for it, or choose another --out")

    def try_acquire(self) -> bool:
        """Take the lock if it is free; returns whether this object has it.

        Raises:
            StorageError: the file cannot be made.
        """
        return self._acquire(wait=False)

    def wait(self) -> None:
        """Take the lock. If another process has it, wait until it is free.

        Raises:
            StorageError: the file cannot be made.
        """
        if not self.try_acquire():
            _LOG.info("waiting for another process that writes to %s", self._folder)
            self._acquire(wait=True)

    def _acquire(self, *, wait: bool) -> bool:
        """Take the lock; returns whether this object has it."""
        with storage_errors(self._folder):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            while self._handle is None:
                handle = os.open(self._file, _FLAGS, 0o666)
                try:
                    with tolerated(LOCKS, self._folder):
                        lock(handle, wait=wait)
                    # The last owner removes the file before it releases the lock. So this may be a removed file.
                    if WINDOWS or self._is_current(handle):
                        self._handle = handle
                except BlockingIOError:
                    return False
                finally:
                    if self._handle is None:
                        os.close(handle)
        return True

    def close(self) -> None:
        """Remove the file and release the lock."""
        if self._handle is not None:  # remove first: after the release, the file may be another process's lock
            handle, self._handle = self._handle, None
            try:
                if not WINDOWS:
                    self._file.unlink(missing_ok=True)
            finally:
                os.close(handle)
            if WINDOWS:  # it keeps files that are open, so a process that has opened it meanwhile will remove it
                with suppress(OSError):
                    self._file.unlink()

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False
