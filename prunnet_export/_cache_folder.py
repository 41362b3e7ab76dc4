"""The cache folder: it holds files that this package can make again."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from prunnet_export._errors import StorageError
from prunnet_export._files import storage_errors
from prunnet_export._system import WINDOWS


def cache_folder() -> Path:
    """``$PRUNNET_EXPORT_CACHE``, else ``prunnet-export`` in the user's cache folder.

    A user without a home folder gets a folder of the system's temporary files.

    Raises:
        StorageError: there is no home folder, and the temporary one cannot be made or belongs to another user.
    """
    chosen = os.environ.get("PRUNNET_EXPORT_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunnet-export"
    except RuntimeError:  # HOME is not set, and the system does not know the user, as in many containers
        return _private_folder()


def _private_folder() -> Path:
    """A temporary folder that no other user can read or write. Everybody may write beside it, so it is checked."""
    if WINDOWS:  # its temporary files are in a folder of the user
        return Path(tempfile.gettempdir()) / "prunnet-export"
    folder = Path(tempfile.gettempdir()) / f"prunnet-export-{os.getuid()}"
    with storage_errors(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StorageError(
            f"{folder} is not a private folder of this user",
            hint="set PRUNNET_EXPORT_CACHE to a folder that only you can write to",
        )
    return folder
