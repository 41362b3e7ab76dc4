"""One folder per class: ``train/<class>/*``, ``query/<class>/*``, ``gallery/<class>/*``."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.training.data._class_folders import class_files, class_split
from prunnet_export.training.data._image_files import report_skipped

SPLITS = ("train", "query", "gallery")


class Folder(DatasetFormat):
    """Images that the user has sorted into folders."""

    name = "folder"
    marks = SPLITS

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        with report_skipped(path) as skipped:
            train, query, gallery = (class_files(path / split, skipped) for split in SPLITS)
        for name in query:
            if name not in gallery:
                raise InvalidInput(
                    f"{path / 'query' / name}: the gallery has no image of this class",
                    hint=f"add images to {path / 'gallery' / name}, or take the class out of query/",
                )
        return RetrievalData(
            name=f"folder {path}",
            train=class_split(train, sorted(train), path),
            query=class_split(query, sorted(gallery), path),
            gallery=class_split(gallery, sorted(gallery), path),
            classes=(frozenset(train), frozenset(query)),
            protocol=Protocol(recall_at=(1, 2, 4, 8)),
        )


FORMAT = Folder()
