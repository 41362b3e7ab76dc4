"""The layout of ImageNet, Places365 and others: ``train/<class>/*`` and ``val/<class>/*``."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._class_folders import class_files, class_split
from prunnet_export.training.data._image_files import report_skipped

SPLITS = ("train", "val")


class TrainVal(DatasetFormat):
    """A folder per class in ``train`` and in ``val``, as torchvision's ImageFolder reads them.

    Every image of ``val`` is a query, and the other images of ``val`` are its gallery.
    """

    name = "train-val"
    marks = SPLITS

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        with report_skipped(path) as skipped:
            train, val = (class_files(path / split, skipped) for split in SPLITS)
        unknown = next((name for name in val if name not in train), None)
        if unknown is not None:
            raise InvalidInput(f"{path / 'val' / unknown}: train has no such class", hint="sort val/ as train/ is")
        splits = (class_split(files, sorted(train), path) for files in (train, val))
        return RetrievalData.searching_itself(f"train-val {path}", *splits)


FORMAT = TrainVal()
