"""Twenty healthy galleries of other images, and twenty with a fault."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from prunnet_export.vectors import same_distribution
from tests.vectors._models import (
    Change,
    as_float16,
    as_int8,
    features,
    flipped,
    permuted_dimensions,
    rotated,
    without_mean,
)

STORED: list[Change] = [as_float16, as_int8]
HEALTHY = list(product(range(5), [11, 12], STORED))
FAULTS: list[tuple[Change, str]] = [
    (permuted_dimensions, "another order"),
    (rotated, "another"),
    (without_mean, "a mean was subtracted"),
    (flipped, "flipped"),
]
PLANTED = list(product(range(5), FAULTS))


@pytest.mark.parametrize(("model", "images", "store"), HEALTHY)
def test_a_healthy_gallery_passes(model: int, images: int, store: Change) -> None:
    found = same_distribution(features(model, 10), store(features(model, images, 500)))
    assert (found.possible, found.reason) == (True, "")
    assert max(found.profile, found.variation) > 0.4


@pytest.mark.parametrize(("model", "fault"), PLANTED)
def test_a_fault_is_refused(model: int, fault: tuple[Change, str]) -> None:
    change, reason = fault
    found = same_distribution(features(model, 10), as_int8(change(features(model, 11, 500))))
    assert not found.possible
    assert reason in found.reason


@pytest.mark.parametrize("model", range(5))
@pytest.mark.parametrize("mean", [True, False])
def test_another_model_of_equal_length_is_refused(model: int, mean: bool) -> None:
    sample = features(model, 10, mean=mean)
    found = same_distribution(sample, as_float16(features(model + 20, 11, mean=mean)))
    assert not found.possible
    assert "of another model" in found.reason
    assert same_distribution(sample, features(model, 11, mean=mean)).possible


def test_a_mean_that_was_added_is_refused() -> None:
    sample = features(1, 10, mean=False)
    found = same_distribution(sample, sample + np.float32(0.2))
    assert "a mean was added" in found.reason


def test_few_vectors_say_nothing() -> None:
    found = same_distribution(features(1, 10, 20), features(2, 10))
    assert found.possible
    assert "fewer than" in found.reason
    noise = np.random.default_rng(0).normal(size=(2, 60, 512)).astype(np.float32)
    assert "says nothing" in same_distribution(noise[0], noise[1]).reason
