"""One folder per class: ``train/<class>/*``, ``query/<class>/*``, ``gallery/<class>/*``."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.training.data._class_folders import class_files, class_split

SPLITS = ("train", "query", "gallery")


class Folder(DatasetFormat):
    """Images sorted into folders by the user; hidden files and files that are no images are passed over."""

    name = "folder"

    def matches(self, path: Path) -> bool:
        """Whether ``path`` has the folders train, query and gallery."""
        return all((path / split).is_dir() for split in SPLITS)

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``.

        Train classes are numbered from 0 in the order of their names; so are the classes of query and gallery
        together, so that one name has one label in both.

        Raises:
            InvalidInput: a folder is missing or empty, an image lies outside of a class, or a query class has
                no gallery image.
            StorageError: a folder cannot be read.
        """
        if path is None:
            raise InvalidInput("the layout 'folder' needs a path", hint="give the folder that holds train/")
        train, query, gallery = (class_files(path / split) for split in SPLITS)
        for name in query:
            if name not in gallery:
                raise InvalidInput(
                    f"{path / 'query' / name}: the gallery has no image of this class",
                    hint=f"add images to {path / 'gallery' / name}, or take the class out of query/",
                )
        return RetrievalData(
            name=f"folder {path}",
            train=class_split(train, sorted(train)),
            query=class_split(query, sorted(gallery)),
            gallery=class_split(gallery, sorted(gallery)),
            protocol=Protocol(recall_at=(1, 2, 4, 8)),
        )


FORMAT = Folder()
