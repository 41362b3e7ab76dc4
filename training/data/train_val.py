"""ImageNet, Places365 and their relatives: ``train/<class>/*`` and ``val/<class>/*``."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._class_folders import class_files, class_split

SPLITS = ("train", "val")


class TrainVal(DatasetFormat):
    """A folder per class below ``train`` and ``val``, as torchvision's ImageFolder reads them.

    Every image of ``val`` is a query and searches the others.
    """

    name = "train-val"

    def matches(self, path: Path) -> bool:
        """Whether ``path`` has the folders train and val."""
        return all((path / split).is_dir() for split in SPLITS)

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``; classes are numbered from 0 in the order of their names, in both splits alike.

        Raises:
            InvalidInput: a folder is missing or empty, an image lies outside of a class, or a class of ``val`` is not
                in ``train``.
            StorageError: a folder cannot be read.
        """
        if path is None:
            raise InvalidInput("the layout 'train-val' needs a path", hint="give the folder that holds train/ and val/")
        train, val = (class_files(path / split) for split in SPLITS)
        unknown = next((name for name in val if name not in train), None)
        if unknown is not None:
            raise InvalidInput(f"{path / 'val' / unknown}: train has no such class", hint="sort val/ as train/ is")
        searched = class_split(val, sorted(train))
        return RetrievalData(
            name=f"train-val {path}",
            train=class_split(train, sorted(train)),
            query=searched,
            gallery=searched,
            exclude_self=True,
        )


FORMAT = TrainVal()
