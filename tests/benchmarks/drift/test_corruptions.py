from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from prunnet_export.benchmarks.drift._corruptions import CORRUPTIONS, Corrupted, Corruption
from tests._inputs import retrieval_data

STEPS = np.linspace(0, 255, 60)
# Gradients and a hard edge, so that every corruption changes something.
PIXELS = np.stack([np.tile(STEPS, (40, 1)), np.tile(STEPS[:40, None], (1, 60)), np.full((40, 60), 90.0)], axis=2)
PIXELS[10:20, 15:30] = (250, 20, 60)
IMAGE = Image.fromarray(PIXELS.astype(np.uint8))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.name)
def test_stronger_means_farther_from_the_image(corruption: Corruption) -> None:
    before = np.asarray(IMAGE, float)
    distances = []
    for strength in corruption.strengths:
        damaged = corruption.apply(IMAGE, strength, 3)
        assert (damaged.size, damaged.mode) == (IMAGE.size, "RGB")
        distances.append(np.abs(np.asarray(damaged, float) - before).mean())
    assert distances[0] > 0
    assert distances == sorted(distances)
    assert np.array_equal(np.asarray(IMAGE), before)  # the original is as it was


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.name)
def test_an_image_is_damaged_in_the_same_way_each_time(corruption: Corruption) -> None:
    first, second = (np.asarray(corruption.apply(IMAGE, corruption.strengths[-1], 5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_swapped_colours_are_swapped() -> None:
    bgr = next(one for one in CORRUPTIONS if one.name == "BGR")
    assert np.array_equal(np.asarray(bgr.apply(IMAGE, 1, 0)), np.asarray(IMAGE)[:, :, ::-1])


def test_the_noise_of_two_images_differs() -> None:
    dark = next(one for one in CORRUPTIONS if one.name == "low light")
    first, second = (np.asarray(dark.apply(IMAGE, 0.2, number)) for number in (1, 2))
    assert not np.array_equal(first, second)


def test_a_split_keeps_its_labels() -> None:
    split = retrieval_data().query
    damaged = Corrupted(split, CORRUPTIONS[-1], 1)
    assert len(damaged) == len(split)
    assert np.array_equal(damaged.labels, split.labels)
    assert np.array_equal(np.asarray(damaged.image(2)), np.asarray(split.image(2))[:, :, ::-1])
