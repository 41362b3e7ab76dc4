"""Stanford Online Products: photos of things for sale."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import find_image, integer, number_classes, read_rows

TRAIN, TEST = "Ebay_train.txt", "Ebay_test.txt"
COLUMNS = ("image_id", "class_id", "super_class_id", "path")


class Sop(DatasetFormat):
    """``Ebay_train.txt``, ``Ebay_test.txt`` and the images, in the folder or in ``Stanford_Online_Products/``.

    Every test image is a query, and the other test images are its gallery (Song et al., CVPR 2016).
    """

    name = "sop"
    marks = (TRAIN, TEST)
    places = ("", "Stanford_Online_Products")

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        root = self.root(path)
        train, train_classes = _read(root, TRAIN)
        test, test_classes = _read(root, TEST)
        both = set(train_classes) & set(test_classes)
        if both:
            raise InvalidInput(f"{root / TEST}: class {min(both)} is in {TRAIN} too", hint="download the lists again")
        return RetrievalData.searching_itself(
            f"sop {root}",
            FileSplit(train, number_classes(train_classes), root=path),
            FileSplit(test, test_classes, root=path),
            recall_at=(1, 10, 100, 1000),
        )


def _read(root: Path, name: str) -> tuple[list[Path], list[int]]:
    """The images of a list, and their classes."""
    rows = list(read_rows(root / name, COLUMNS, header=True, key="path"))
    if not rows:
        raise InvalidInput(f"{root / name}: no row", hint="download the list again")
    files = [find_image(where, file, [root]) for where, (*_, file) in rows]
    return files, [integer(where, label, "class") for where, (_, label, *_) in rows]


FORMAT = Sop()
