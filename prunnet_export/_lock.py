"""One writer at a time: an advisory lock."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from prunnet_export._errors import StorageError
from prunnet_export._files import storage_errors

_LOG = logging.getLogger(__name__)


class FolderLock:
    """An exclusive lock on a folder. The system releases it when the process ends.

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
        return self._acquire(fcntl.LOCK_NB)

    def wait(self) -> None:
        """Take the lock. If another process has it, wait until it is free.

        Raises:
            StorageError: the file cannot be made.
        """
        if not self.try_acquire():
            _LOG.info("waiting for another process that writes to %s", self._folder)
            self._acquire(0)

    def _acquire(self, flags: int) -> bool:
        """Take the lock; returns whether this object has it. Without LOCK_NB the system waits until it is free."""
        with storage_errors(self._folder):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            while self._handle is None:
                handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | flags)
                    # The last owner removes the file before it releases the lock. So this may be a removed file.
                    if self._is_current(handle):
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
                self._file.unlink(missing_ok=True)
            finally:
                os.close(handle)

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False
