"""Images that are decoded once and kept in memory, because decoding takes most of the time of a small training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from prunnet_export.datasets import ImageSplit, RetrievalData
from prunnet_export.preprocessing import Preprocessing

ROOM = 4 * 2**30  # bytes, for all splits together


class KeptSplit(ImageSplit):
    """A split whose images are resized at the first access and kept in memory.

    A second resize of an image changes nothing, so the inputs do not depend on which images are kept. Images that do
    not fit into ``room`` bytes are decoded at every access.
    """

    def __init__(self, split: ImageSplit, preprocessing: Preprocessing, *, room: int) -> None:
        self.labels, self.names, self.cameras = split.labels, split.names, split.cameras
        self._split, self._preprocessing, self._room = split, preprocessing, room
        self._kept: dict[int, Image.Image] = {}

    @property
    def relative_names(self) -> Sequence[str]:
        """The names of the split."""
        return self._split.relative_names

    def image(self, index: int) -> Image.Image:
        """Image ``index``, RGB, resized. The errors are those of the split."""
        if index in self._kept:
            return self._kept[index]
        image = self._preprocessing.resized(self._split.image(index))
        self._room -= 3 * image.width * image.height
        if self._room >= 0:
            self._kept[index] = image
        return image


def keep_in_memory(data: RetrievalData, preprocessing: Preprocessing) -> RetrievalData:
    """The data set, with as many images kept in memory as fit into ``ROOM``."""
    images = len(data.train) + len(data.query) + len(data.gallery)

    def keep(split: ImageSplit) -> KeptSplit:
        return KeptSplit(split, preprocessing, room=ROOM * len(split) // max(1, images))

    return replace(data, train=keep(data.train), query=keep(data.query), gallery=keep(data.gallery))
