"""VeRi-776: vehicles seen by the cameras of a town."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._reid import search_split, sightings, train_split

SPLITS = ("image_train", "image_query", "image_test")


class VeRi(DatasetFormat):
    """``image_train``, ``image_query`` and ``image_test`` with images ``ID_cCAMERA_....jpg``.

    What shows the query's vehicle by the query's camera is removed from its ranking (Liu et al., ECCV 2016).
    """

    name = "veri"

    def matches(self, path: Path) -> bool:
        """Whether the three folders are there."""
        return all((path / split).is_dir() for split in SPLITS)

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``.

        Raises:
            InvalidInput: a folder is missing or has no image, or an image has another name.
            StorageError: a folder cannot be read.
        """
        if path is None:
            raise InvalidInput("the layout 'veri' needs a path", hint="give the folder that holds image_train/")
        train, query, gallery = (sightings(path / split) for split in SPLITS)
        return RetrievalData(
            name=f"veri {path}", train=train_split(train), query=search_split(query), gallery=search_split(gallery)
        )


FORMAT = VeRi()
