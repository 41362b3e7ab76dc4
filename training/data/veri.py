"""VeRi-776: vehicles seen by the cameras of a town."""

from __future__ import annotations

from pathlib import Path

from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._reid import search_split, sightings, train_split

SPLITS = ("image_train", "image_query", "image_test")


class VeRi(DatasetFormat):
    """``image_train``, ``image_query`` and ``image_test`` with images ``ID_cCAMERA_....jpg``.

    What shows the query's vehicle by the query's camera is removed from its ranking (Liu et al., ECCV 2016).
    """

    name = "veri"
    marks = SPLITS

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        train, query, gallery = (sightings(path / split) for split in SPLITS)
        return RetrievalData(
            name=f"veri {path}", train=train_split(train), query=search_split(query), gallery=search_split(gallery)
        )


FORMAT = VeRi()
