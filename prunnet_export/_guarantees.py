"""What a file system does not guarantee. Files are written all the same, and one warning says what is missing.

DrvFs, CIFS, NFS and FAT may refuse to sync a folder, to lock a file, or to change a file's permissions.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunnet_export._system import WINDOWS

_LOG = logging.getLogger(__name__)

_REFUSALS = frozenset(
    {
        *(errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK),
        errno.EBADF,  # NFS locks no file that is open for reading only
    }
)
_said: set[str] = set()

LOCKS = "locks no files: two commands that write there at the same time do not notice each other"
SYNCS = "cannot sync: a power cut may undo what was just written"
MODES = "cannot change permissions: some files may have others than new files have"


@contextmanager
def tolerated(what: str, place: Path) -> Iterator[None]:
    """Go on if the file system of ``place`` refuses what is done in the block, and warn once in this process.

    Args:
        what: What is not guaranteed then: ``LOCKS``, ``SYNCS`` or ``MODES``.
        place: The file or the folder.

    Raises:
        OSError: it failed for another reason, such as a full disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        if what not in _said:
            _said.add(what)
            _LOG.warning("the file system of %s %s", place, what)


def sync(handle: int, place: Path) -> None:
    """Wait until an open file is on the disk, if its file system can say so; raises OSError if the disk is full."""
    with tolerated(SYNCS, place):
        os.fsync(handle)


def sync_path(place: Path) -> None:
    """Wait until a file or a folder is on the disk, if its file system can say so.

    Raises:
        OSError: it cannot be opened, or the disk is full.
    """
    if WINDOWS and place.is_dir():  # it opens no folder
        return
    handle = os.open(place, os.O_RDWR if WINDOWS else os.O_RDONLY)  # Windows syncs only what may be written
    try:
        sync(handle, place)
    finally:
        os.close(handle)
