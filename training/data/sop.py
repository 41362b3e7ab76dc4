"""Stanford Online Products: photos of things for sale."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import integer, locate, numbered, once, read_rows

TRAIN, TEST = "Ebay_train.txt", "Ebay_test.txt"
COLUMNS = ("image_id", "class_id", "super_class_id", "path")


class Sop(DatasetFormat):
    """``Ebay_train.txt``, ``Ebay_test.txt`` and the images beside them, here or in ``Stanford_Online_Products/``.

    Every test image is a query and searches the others (Song et al., CVPR 2016).
    """

    name = "sop"

    def matches(self, path: Path) -> bool:
        """Whether both lists are there."""
        return _root(path) is not None

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``.

        Raises:
            InvalidInput: the first malformed or duplicated line, the first missing image, an empty list, or a class
                that is in both lists.
            StorageError: a list cannot be read.
        """
        root = None if path is None else _root(path)
        if root is None:
            raise InvalidInput(f"{path}: no {TRAIN} beside {TEST}", hint="give the folder that holds both")
        train, train_classes = _read(root, TRAIN)
        test, test_classes = _read(root, TEST)
        both = set(train_classes) & set(test_classes)
        if both:
            raise InvalidInput(f"{root / TEST}: class {min(both)} is in {TRAIN} too", hint="download the lists again")
        searched = FileSplit(test, test_classes)
        return RetrievalData(
            name=f"sop {root}",
            train=FileSplit(train, numbered(train_classes)),
            query=searched,
            gallery=searched,
            exclude_self=True,
            protocol=Protocol(recall_at=(1, 10, 100, 1000)),
        )


def _root(path: Path) -> Path | None:
    folders = (path, path / "Stanford_Online_Products")
    return next((one for one in folders if (one / TRAIN).is_file() and (one / TEST).is_file()), None)


def _read(root: Path, name: str) -> tuple[list[Path], list[int]]:
    """The images of a list, and their classes."""
    rows = list(read_rows(root / name, COLUMNS, header=True))
    if not rows:
        raise InvalidInput(f"{root / name}: no row", hint="download the list again")
    once((where, file) for where, (*_, file) in rows)
    files = [locate(where, file, [root]) for where, (*_, file) in rows]
    return files, [integer(where, label, "class") for where, (_, label, *_) in rows]


FORMAT = Sop()
