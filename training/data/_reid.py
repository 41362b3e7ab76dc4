"""Re-identification images: the file name has the identity (a person or a vehicle) and the camera."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.preprocessing import Size
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._image_files import Skipped, find_images, report_skipped
from prunnet_export.training.data._lists import number_classes

_NAME = re.compile(r"(-?[0-9]{1,9})_c([0-9]{1,9})(?![0-9])", re.ASCII)


class Sighting(NamedTuple):
    """One image of an identity, by one camera."""

    file: Path
    identity: int
    camera: int


def sightings(folder: Path, skipped: Skipped) -> list[Sighting]:
    """The images ``IDENTITY_cCAMERA...`` in a folder and its subfolders, sorted by name."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder", hint="unpack the data set again")
    found = []
    for file in map(Path, sorted(find_images(folder, skipped))):
        name = _NAME.match(file.name)
        if name is None:
            raise InvalidInput(f"{file}: its name does not begin with id_cCAMERA", hint="e.g. 0002_c1s1_000451_03.jpg")
        found.append(Sighting(file, int(name[1]), int(name[2])))
    if not found:
        raise InvalidInput(f"{folder}: no image", hint="unpack the data set again")
    return found


PEDESTRIAN = (256, 128)
"""Height and width of the input that the field uses for pedestrians, in pixels."""


class CameraFolders(DatasetFormat):
    """Three folders of images ``ID_cCAMERA...``: training images, queries and gallery.

    Gallery images with the query's identity and the query's camera are removed from its ranking.

    Args:
        name: Name of the format.
        splits: Names of the three folders.
        crop: Size of the input, if the user does not give one. The whole image is squashed to it.
        gallery_only: Identities that are allowed only in the gallery.
        junk: Identities among these that are left out of the gallery.
    """

    fit = "squash"

    def __init__(
        self,
        name: str,
        splits: tuple[str, str, str],
        *,
        crop: Size,
        gallery_only: Collection[int] = (),
        junk: Collection[int] = (),
    ) -> None:
        self.name, self.marks, self.crop = name, splits, crop
        self._gallery_only, self._junk = gallery_only, junk

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        with report_skipped(path) as skipped:
            train, query, gallery = (sightings(path / split, skipped) for split in self.marks)
        for one in (*train, *query):
            if one.identity in self._gallery_only:
                raise InvalidInput(f"{one.file}: id {one.identity} names no person", hint="put it into the gallery")
        return RetrievalData(
            name=f"{self.name} {path}",
            train=train_split(train, path),
            query=search_split(query, path),
            gallery=search_split([one for one in gallery if one.identity not in self._junk], path),
            classes=(identities(train), identities(query)),
        )


def identities(seen: Sequence[Sighting]) -> frozenset[str]:
    """The names of the persons or vehicles."""
    return frozenset(str(one.identity) for one in seen)


def train_split(seen: Sequence[Sighting], root: Path) -> FileSplit:
    """Training images, with the identities numbered from 0 without gaps."""
    return FileSplit([one.file for one in seen], number_classes([one.identity for one in seen]), root=root)


def search_split(seen: Sequence[Sighting], root: Path) -> FileSplit:
    """Query or gallery images. Their labels are the identities."""
    labels, cameras = [one.identity for one in seen], [one.camera for one in seen]
    return FileSplit([one.file for one in seen], labels, cameras, root=root)
