"""Re-identification images, whose file names say who was seen by which camera."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.training.data._class_folders import image_files
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import numbered

_NAME = re.compile(r"(-?[0-9]{1,9})_c([0-9]{1,9})(?![0-9])", re.ASCII)


@dataclass(frozen=True)
class Sighting:
    """One image: who (or which vehicle) was seen by which camera."""

    file: Path
    identity: int
    camera: int


def sightings(folder: Path) -> list[Sighting]:
    """The images ``IDENTITY_cCAMERA...`` in a folder, by name.

    Raises:
        InvalidInput: the folder is missing or has no image, or an image has another name.
        StorageError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder", hint="unpack the data set again")
    found = []
    for file in image_files(folder):
        name = _NAME.match(file.name)
        if name is None:
            raise InvalidInput(f"{file}: its name does not begin with id_cCAMERA", hint="e.g. 0002_c1s1_000451_03.jpg")
        found.append(Sighting(file, int(name[1]), int(name[2])))
    if not found:
        raise InvalidInput(f"{folder}: no image", hint="unpack the data set again")
    return found


def train_split(seen: Sequence[Sighting]) -> FileSplit:
    """Images to learn from, the identities numbered from 0 without gaps."""
    return FileSplit([one.file for one in seen], numbered([one.identity for one in seen]))


def search_split(seen: Sequence[Sighting], *, without: Collection[int] = ()) -> FileSplit:
    """Images to search, labelled by their identities, with cameras; some identities are left out."""
    kept = [one for one in seen if one.identity not in without]
    return FileSplit([one.file for one in kept], [one.identity for one in kept], [one.camera for one in kept])
