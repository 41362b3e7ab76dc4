"""The images of a comparison. They are kept in memory, as decoding takes most of the time of a small training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.methods import Settings
from prunnet_export.datasets import ImageSplit, RetrievalData, open_dataset
from prunnet_export.patterns import check_capacity
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training import images_digest

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


def with_images(settings: Settings) -> tuple[Settings, RetrievalData]:
    """The settings of a comparison, checked and completed, and its images.

    Raises:
        InvalidInput: a capacity is out of range, or there are no training images.
    """
    for capacity in (*settings.capacities, *settings.train_capacities, *(settings.student_capacities or ())):
        check_capacity(capacity)
    source = settings.data
    images = open_dataset(source.place, layout=source.layout, seed=source.seed)
    if len(images.train) == 0:
        raise InvalidInput(f"{images.name} has no train images", hint="it has only test images; give another --data")
    # The dense network is always evaluated, so capacity 1 is removed.
    capacities = tuple(sorted({one for one in settings.capacities if one < 1}, reverse=True))
    digest = images_digest(images, whole=True)
    return msgspec.structs.replace(settings, capacities=capacities, images_sha256=digest), images
