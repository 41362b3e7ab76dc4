from __future__ import annotations

from unittest.mock import patch

import numpy as np
from PIL import Image

from prunnet_export.benchmarks import _methods_data
from prunnet_export.benchmarks._methods_data import KeptSplit, keep_in_memory
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training import TrainingBatches
from prunnet_export.training.data._arrays import ArraySplit
from tests._inputs import array_split, retrieval_data

PREPROCESSING = Preprocessing(crop=16, resize=18)


class Counted(ArraySplit):
    """Counts how often an image is decoded."""

    decoded = 0

    def image(self, index: int) -> Image.Image:
        self.decoded += 1
        return super().image(index)


def counted(count: int = 6) -> Counted:
    split = array_split(count, side=20)
    return Counted(np.stack([np.asarray(split.image(index)) for index in range(count)]), split.labels)


def test_images_are_decoded_once() -> None:
    split = counted()
    keeps = KeptSplit(split, PREPROCESSING, room=10**6)
    for _ in range(3):
        for index in range(6):
            assert keeps.image(index).size == (18, 18)
    assert split.decoded == 6


def test_what_does_not_fit_is_decoded_again() -> None:
    split = counted()
    keeps = KeptSplit(split, PREPROCESSING, room=2 * 3 * 18 * 18)
    pictures = [[np.asarray(keeps.image(index)) for index in range(6)] for _ in range(2)]
    assert split.decoded == 6 + 4
    assert np.array_equal(pictures[0], pictures[1])


def test_inputs_are_the_same_to_the_last_bit() -> None:
    split = array_split(24, side=23)
    keeps = KeptSplit(split, PREPROCESSING, room=10**6)
    assert (keeps.labels == split.labels).all()
    assert keeps.names == split.names
    assert keeps.relative_names == split.relative_names
    for epoch in (0, 1):
        batches = [
            list(TrainingBatches(one, PREPROCESSING, batch_size=12, seed=1, flip=True).epoch(epoch))
            for one in (split, keeps)
        ]
        for (plain, *_), (cached, *_) in zip(*batches, strict=True):
            assert bool((plain == cached).all())
    indices = [0, 5]
    assert (
        PREPROCESSING([split.image(index) for index in indices])
        == PREPROCESSING([keeps.image(index) for index in indices])
    ).all()


def test_room_is_shared_by_the_splits() -> None:
    with patch.object(_methods_data, "ROOM", 3 * 18 * 18 * 10):
        data = keep_in_memory(retrieval_data(), PREPROCESSING)  # 24, 8 and 8 images: room for 6, 2 and 2
    for split, fits in ((data.train, 6), (data.query, 2), (data.gallery, 2)):
        assert isinstance(split, KeptSplit)
        for index in range(len(split)):
            split.image(index)
        assert len(split._kept) == fits
