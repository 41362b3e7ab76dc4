"""Restoring an artifact that a killed process had moved and not yet replaced."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from prunnet_export._errors import StorageError
from prunnet_export._lock import FolderLock
from prunnet_export.artifact._writer import REJECTED


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
    pattern = re.compile(rf"\.{re.escape(place.name)}\.old-[0-9a-f]{{12}}")
    with suppress(OSError):
        return sorted(entry for entry in place.parent.iterdir() if pattern.fullmatch(entry.name))
    return []
