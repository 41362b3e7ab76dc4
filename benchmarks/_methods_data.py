"""Images that are decoded once and kept, because decoding dominates small trainings."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from prunnet_export.datasets import ImageSplit, RetrievalData
from prunnet_export.preprocessing import Preprocessing

ROOM = 4 * 2**30  # bytes, of all splits together


class KeptSplit(ImageSplit):
    """A split whose images are resized when they are first asked for, and kept.

    Resizing a resized image again changes nothing, so that inputs do not depend on what is kept.

    Args:
        split: Where they are from.
        preprocessing: Its length of the shorter side is what is kept.
        room: Bytes; images beyond them are decoded at every use.
    """

    def __init__(self, split: ImageSplit, preprocessing: Preprocessing, *, room: int) -> None:
        self.labels, self.names, self.cameras = split.labels, split.names, split.cameras
        self._split, self._preprocessing, self._room = split, preprocessing, room
        self._kept: dict[int, Image.Image] = {}

    def image(self, index: int) -> Image.Image:
        """Image ``index``, RGB, resized; errors are those of the split."""
        if index in self._kept:
            return self._kept[index]
        image = self._preprocessing.resized(self._split.image(index))
        self._room -= 3 * image.width * image.height
        if self._room >= 0:
            self._kept[index] = image
        return image


def kept(data: RetrievalData, preprocessing: Preprocessing) -> RetrievalData:
    """The data set, with its images kept in memory as far as they fit."""
    images = len(data.train) + len(data.query) + len(data.gallery)

    def keep(split: ImageSplit) -> KeptSplit:
        return KeptSplit(split, preprocessing, room=ROOM * len(split) // max(1, images))

    return replace(data, train=keep(data.train), query=keep(data.query), gallery=keep(data.gallery))
