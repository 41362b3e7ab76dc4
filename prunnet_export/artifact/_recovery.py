"""Restoring an artifact that a killed process had moved and not yet replaced."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prunnet_export._errors import StorageError
from prunnet_export._lock import FolderLock
from prunnet_export.artifact._names import REJECTED, temporary_folders


def restore(folder: Path) -> None:
    """Move an artifact back to its folder, if a killed process moved it away and did not replace it.

    Nothing happens if something is in the folder, or while another process writes there.
    """
    place = Path(folder).resolve()
    if place.exists() or not place.name or not _moved(place):
        return
    lock = FolderLock(place.with_name(place.name.removesuffix(REJECTED)))  # the lock of the writers of both folders
    with suppress(StorageError, OSError):
        lock.acquire()
        try:
            moved = _moved(place)
            if moved and not place.exists():
                moved[0].rename(place)
        finally:
            lock.close()


def _moved(place: Path) -> list[Path]:
    with suppress(OSError):
        return temporary_folders(place, "old")
    return []
