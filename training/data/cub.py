"""CUB-200-2011: birds. The first half of the species is for training, the second half for the test."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import find_image, integer, number_classes, read_rows

IMAGES, CLASSES = "images.txt", "image_class_labels.txt"


class Cub(DatasetFormat):
    """``images.txt``, ``image_class_labels.txt`` and ``images/``, in the folder or in ``CUB_200_2011/``.

    Classes 1..100 are for training. Every image of classes 101..200 is a query, and the others are its gallery (Song et
    al., CVPR 2016).
    """

    name = "cub"
    marks = (IMAGES, CLASSES)
    places = ("", "CUB_200_2011")

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        root = self.root(path)
        files, classes = _table(root / IMAGES, "path"), _table(root / CLASSES, "class")
        rows = []
        for image, (where, file) in files.items():
            if image not in classes:
                raise InvalidInput(f"{where}: image {image} has no class in {CLASSES}", hint="download the list again")
            place, text = classes[image]
            rows.append((find_image(where, file, [root / "images"]), integer(place, text, "class")))
        known = sorted({label for _, label in rows})
        if len(known) < 2:  # noqa: PLR2004 - each half needs a class
            raise InvalidInput(f"{root / CLASSES}: {len(known)} class", hint="the layout needs two or more")
        first = set(known[: len(known) // 2])
        train = [row for row in rows if row[1] in first]
        test = [row for row in rows if row[1] not in first]
        return RetrievalData.searching_itself(
            f"cub {root}",
            FileSplit([file for file, _ in train], number_classes([label for _, label in train]), root=path),
            FileSplit([file for file, _ in test], [label for _, label in test], root=path),
            recall_at=(1, 2, 4, 8),
        )


def _table(listing: Path, column: str) -> dict[str, tuple[str, str]]:
    """The place of each image's line, and its second field, by image id."""
    return {image: (where, text) for where, (image, text) in read_rows(listing, ("image_id", column), key="image_id")}


FORMAT = Cub()
