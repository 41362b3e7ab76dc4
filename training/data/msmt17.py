"""MSMT17: pedestrians, with lists that assign the images to splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._lists import find_image, integer, read_rows
from prunnet_export.training.data._reid import PEDESTRIAN, Sighting, search_split, train_split

TRAIN_LISTS = ("list_train.txt", "list_val.txt")
QUERY_LIST, GALLERY_LIST = "list_query.txt", "list_gallery.txt"
# The folders of the first release, then those of the second, in which faces are masked.
TRAIN_FOLDERS, TEST_FOLDERS = ("train", "mask_train_v2"), ("test", "mask_test_v2")
_CAMERA = re.compile(r"[0-9]+_[0-9]+_([0-9]{1,9})_", re.ASCII)


class Msmt17(DatasetFormat):
    """Four lists of rows ``PATH ID``, and the folders ``train`` and ``test``. The file name has the camera.

    The lists for training and for validation are both used for training. Gallery images with the query's person and
    the query's camera are removed from its ranking (Wei et al., CVPR 2018).
    """

    name = "msmt17"
    marks = (*TRAIN_LISTS, QUERY_LIST, GALLERY_LIST)
    crop, fit = PEDESTRIAN, "squash"

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        train = [one for name in TRAIN_LISTS for one in _read(path / name, [path / sub for sub in TRAIN_FOLDERS])]
        query, gallery = (
            _read(path / name, [path / sub for sub in TEST_FOLDERS]) for name in (QUERY_LIST, GALLERY_LIST)
        )
        return RetrievalData(
            name=f"msmt17 {path}",
            train=train_split(train, path),
            query=search_split(query, path),
            gallery=search_split(gallery, path),
        )


def _read(listing: Path, folders: Sequence[Path]) -> list[Sighting]:
    """The images of one list."""
    found = []
    for where, (file, identity) in read_rows(listing, ("path", "id"), key="path"):
        camera = _CAMERA.match(file.rpartition("/")[2])
        if camera is None:
            raise InvalidInput(
                f"{where}: {file[:80]} does not name a camera", hint="e.g. 0000/0000_000_01_0303morning_0008_0.jpg"
            )
        found.append(Sighting(find_image(where, file, folders), integer(where, identity, "id"), int(camera[1])))
    return found


FORMAT = Msmt17()
