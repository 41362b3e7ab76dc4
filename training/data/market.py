"""Market-1501, and data sets of pedestrians in its layout (DukeMTMC-reID)."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._reid import search_split, sightings, train_split

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
JUNK = -1  # detections that show too little of anybody: neither right nor wrong
DISTRACTORS = 0  # detections of no pedestrian: always wrong


class Market(DatasetFormat):
    """``bounding_box_train``, ``query`` and ``bounding_box_test`` with images ``ID_cCAMERA....jpg``.

    What shows the query's person by the query's camera is removed from its ranking, images of id -1 are left out of
    the gallery, and those of id 0 stay in it and answer nobody (Zheng et al., ICCV 2015).
    """

    name = "market"
    marks = SPLITS

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        train, query, gallery = (sightings(path / split) for split in SPLITS)
        for one in (*train, *query):
            if one.identity in {JUNK, DISTRACTORS}:
                raise InvalidInput(f"{one.file}: id {one.identity} is nobody", hint="it belongs into the gallery")
        return RetrievalData(
            name=f"market {path}",
            train=train_split(train),
            query=search_split(query),
            gallery=search_split(gallery, without={JUNK}),
        )


FORMAT = Market()
