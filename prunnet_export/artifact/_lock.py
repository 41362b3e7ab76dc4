"""One writer at a time: an advisory lock beside an artifact."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from prunnet_export._errors import StorageError


class FolderLock:
    """An exclusive lock on ``.NAME.lock`` beside the folder NAME; it dies with the process.

    Args:
        folder: The folder; it need not exist, its parent has to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder.with_name(f".{folder.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StorageError: somebody else has it.
            OSError: the file cannot be made.
        """
        while self._handle is None:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise StorageError(
                    f"another export writes to {self._folder}", hint="wait for it, or choose another --out"
                ) from None
            except OSError:
                os.close(handle)
                raise
            # The former owner unlinks the file before it lets go: what was locked may have no name any more.
            if self._is_current(handle):
                self._handle = handle
            else:
                os.close(handle)

    def release(self) -> None:
        """Let go and remove the file; while it is locked, nobody else can own that name."""
        if self._handle is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._file.stat())
        except FileNotFoundError:
            return False
