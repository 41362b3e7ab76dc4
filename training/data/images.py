"""Any tree of image files, without splits: images to train on, to embed, or to match with a teacher's vectors."""

from __future__ import annotations

import os
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._image_files import Skipped, find_images, report_skipped

# Two folders with such names are the splits of a data set. Training must not mix them by mistake.
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "query", "gallery"})


class Images(DatasetFormat):
    """Image files in one folder, or in folders below it. All of them are training images, sorted by their paths.

    The images of one folder are one class. If all images lie in one folder, the data set has no labels. There are no
    queries and no gallery.
    """

    name = "images"
    fallback = True

    def matches(self, path: Path) -> bool:
        """Whether there is an image in the folder or below it, and no two folders with the names of splits."""
        if not path.is_dir() or sum((path / name).is_dir() for name in SPLITS) > 1:
            return False
        return next(find_images(path, Skipped(path)), None) is not None

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        if not path.is_dir():
            raise InvalidInput(f"{path}: no such folder", hint="give a folder with images")
        with report_skipped(path) as skipped:
            files = sorted(find_images(path, skipped))
        if not files:
            raise InvalidInput(f"{path}: no image that can be read", hint="give a folder with images")
        folders = [os.path.dirname(file) for file in files]  # noqa: PTH120 - a million times
        number = {folder: label for label, folder in enumerate(sorted(set(folders)))}
        nothing = FileSplit([], [], root=path)
        return RetrievalData(
            name=f"images {path}",
            train=FileSplit(files, [number[folder] for folder in folders], root=path),
            query=nothing,
            gallery=nothing,
            has_labels=len(number) > 1,
        )


FORMAT = Images()
