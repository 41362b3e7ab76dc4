"""Finding the image files below a folder, and saying which files were skipped."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunnet_export._decoding import begins_like_an_image, image_suffixes
from prunnet_export._errors import StorageError
from prunnet_export.training.data._files import relative_names

_LOG = logging.getLogger(__name__)
_SHOWN = 3  # names of each reason in the warning

NO_IMAGE = "no image that can be read"
_DANGLING = "a link to nothing"
_SPECIAL = "no file"
_UNREADABLE = "no permission"
_VISITED = "a link to a folder that is read already"


class Skipped:
    """The files of a data set that are not read: how many, and the names of the first ones.

    Args:
        root: The data set's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, reason: str, path: str) -> None:
        """Count a file or folder, and keep its name if it is one of the first."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        first = self._first.setdefault(reason, [])
        if len(first) < _SHOWN:
            first.append(path)

    def warn(self) -> None:
        """Log one warning, if there are such files."""
        if self._counts:
            reasons = "; ".join(f"{reason}: {self._named(reason)}" for reason in self._counts)
            _LOG.warning("%s: %d files or folders are skipped: %s", self._root, sum(self._counts.values()), reasons)

    def _named(self, reason: str) -> str:
        names = relative_names(self._root, self._first[reason])
        more = ", ..." if self._counts[reason] > len(names) else ""
        return f"{self._counts[reason]} ({', '.join(names)}{more})"


@contextmanager
def report_skipped(root: Path) -> Iterator[Skipped]:
    """Collect the files of the data set in ``root`` that are not read. If the block ends without an error, warn."""
    skipped = Skipped(root)
    yield skipped
    skipped.warn()


def find_images(folder: Path, skipped: Skipped) -> Iterator[str]:
    """The paths of the image files in a folder and in all folders below it, in no particular order.

    Links are followed, but no folder is read twice, so that links in a circle end. Hidden files and folders are left
    out. All others that are no images are added to ``skipped``.

    Raises:
        StorageError: ``folder`` cannot be read.
    """
    suffixes = image_suffixes()
    # A link to a folder above would bring in the rest of the data set.
    seen = {_identity(str(parent)) for parent in folder.resolve().parents}
    # Folders come before links to folders, so that a file that can be reached in two ways has the name without a link.
    folders, links = [str(folder)], list[str]()
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        try:
            identity, entries = _identity(place), visible(place)
        except OSError as error:
            if place == str(folder):
                raise unreadable(folder, error) from None
            skipped.add(_UNREADABLE, place)
            continue
        if identity in seen:
            skipped.add(_VISITED, place)
            continue
        seen.add(identity)
        for entry in entries:
            if is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif (reason := why_skipped(entry, suffixes)) is None:
                yield entry.path
            else:
                skipped.add(reason, entry.path)


def unreadable(folder: Path, error: OSError) -> StorageError:
    """The error for a folder that cannot be read."""
    return StorageError(f"{folder}: cannot be read ({error.strerror})", hint="check its permissions")


def visible(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, sorted by name. An OSError is raised if it cannot be read."""
    # The entries of scandir know which ones are files, without one more disk access for each of a million images.
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def why_skipped(entry: os.DirEntry[str], suffixes: frozenset[str]) -> str | None:
    """Why an entry that is no folder is not read as an image; None if it is one.

    A file with the suffix of an image is taken for one, because a look into a million files takes minutes. Other files
    are images if their first bytes are those of an image.
    """
    try:
        if not entry.is_file():
            return _DANGLING if entry.is_symlink() else _SPECIAL
    except OSError:
        return _UNREADABLE
    if not os.access(entry.path, os.R_OK):
        return _UNREADABLE
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a million times
    return None if suffix in suffixes or begins_like_an_image(entry.path) else NO_IMAGE


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # e.g. a link to itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)  # noqa: PTH116 - one for each of many folders
    return found.st_dev, found.st_ino
