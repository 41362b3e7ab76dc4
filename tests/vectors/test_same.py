from __future__ import annotations

import numpy as np
import pytest

from prunnet_export.vectors import Stored, same_vectors
from tests.vectors._models import (
    Change,
    Rows,
    as_bits,
    as_float16,
    as_int8,
    features,
    flipped,
    permuted_dimensions,
    preprocessed_otherwise,
    rotated,
    shuffled,
    some_signs_flipped,
    whitened,
    without_mean,
)

FORMS: list[tuple[Stored, Change]] = [
    ("float32", lambda rows: rows),
    ("float16", as_float16),
    ("int8", as_int8),
    ("binary", as_bits),
]
FAULTS: list[tuple[Change, str]] = [
    (without_mean, "mean was subtracted"),
    (permuted_dimensions, "dimensions are in another order"),
    (shuffled, "rows were mixed"),
    (flipped, "signs were flipped"),
    (preprocessed_otherwise, "probably another preprocessing"),
    (rotated, "another model"),
]


def with_signs(count: int, model: int = 1) -> Rows:
    """Vectors that binary codes can tell apart: of both signs."""
    return features(model, 2, mean=False)[:count]


@pytest.mark.parametrize(("stored", "store"), FORMS)
@pytest.mark.parametrize("count", [1, 20, 300])
@pytest.mark.parametrize("model", [1, 2, 3])
def test_a_healthy_gallery_passes(stored: Stored, store: Change, count: int, model: int) -> None:
    expected = with_signs(count, model) if stored == "binary" else features(model, 2, count)
    found = same_vectors(3 * expected, store(expected), stored)  # lengths do not matter
    assert (found.same, found.reason, len(found.differing)) == (True, "", 0)
    assert found.tolerance <= found.worst <= found.median <= 1.00001


@pytest.mark.parametrize(("stored", "store"), FORMS[:3])
@pytest.mark.parametrize(("change", "reason"), FAULTS)
def test_a_fault_is_named(stored: Stored, store: Change, change: Change, reason: str) -> None:
    expected = features(1, 2)
    found = same_vectors(expected, store(change(expected)), stored)
    assert not found.same
    assert reason in found.reason
    assert found.worst < found.tolerance


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (permuted_dimensions, "dimensions are in another order"),
        (shuffled, "rows were mixed"),
        (flipped, "signs were flipped"),
        (rotated, "another model"),
        (lambda rows: rows.reshape(len(rows), -1, 8)[:, :, ::-1].reshape(rows.shape), "reverse order"),
    ],
)
def test_a_fault_of_binary_codes_is_named(change: Change, reason: str) -> None:
    expected = with_signs(300)
    found = same_vectors(expected, as_bits(change(expected)), "binary")
    assert not found.same
    assert reason in found.reason


def test_bits_of_images_that_were_preprocessed_otherwise_are_named() -> None:
    expected = with_signs(300)
    moved = expected + 0.6 * expected.std() * np.random.default_rng(0).normal(size=expected.shape)
    verdict = same_vectors(expected, as_bits(moved.astype(np.float32)), "binary")
    assert "probably another preprocessing" in verdict.reason


def test_bits_of_centred_vectors_are_named() -> None:
    expected = features(1, 2)
    found = same_vectors(expected, as_bits(expected - expected.mean(0)), "binary")
    assert "mean was subtracted before the bits" in found.reason


def test_other_changes_of_dimensions_are_named() -> None:
    expected = features(1, 2)
    assert "scaled differently" in same_vectors(expected, whitened(expected), "float32").reason
    assert "25% of the dimensions have the other sign" in (
        same_vectors(expected, some_signs_flipped(expected), "float32").reason
    )
    assert "added to" in same_vectors(expected, expected + 0.05, "float32").reason


def test_other_models_are_named() -> None:
    found = same_vectors(features(1, 2), features(3, 2), "float32")
    assert "those of another model" in found.reason


def test_rows_mixed_with_images_that_were_not_asked_for_are_named() -> None:
    found = same_vectors(features(1, 2), features(1, 5), "float32")
    assert "names and rows were mixed" in found.reason


def test_prefixes_and_other_lengths_are_named() -> None:
    expected = features(1, 2)
    assert "only the first 64 of" in same_vectors(expected, expected[:, :64], "float32").reason
    assert "64 dimensions" in same_vectors(expected, permuted_dimensions(expected)[:, :64], "float32").reason
    assert "it is of another model" in same_vectors(expected[:, :64], expected, "float32").reason


def test_few_images_that_changed_are_counted() -> None:
    expected = features(1, 2)
    found = expected.copy()
    found[[3, 50]] = expected[[4, 51]]
    verdict = same_vectors(expected, found, "float32")
    assert not verdict.same
    assert verdict.differing.tolist() == verdict.others.tolist() == [3, 50]
    assert not verdict.reason


@pytest.mark.parametrize(("stored", "store"), FORMS)
@pytest.mark.parametrize(("change", "reason"), [(shuffled, "rows were mixed"), (rotated, "another model")])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_fault_of_a_part_is_named(stored: Stored, store: Change, change: Change, reason: str, share: float) -> None:
    expected = with_signs(300) if stored == "binary" else features(1, 2)
    is_wrong = np.random.default_rng(0).random(300) < share
    found = store(np.where(is_wrong[:, None], change(expected), expected))
    verdict = same_vectors(expected, found, stored)
    assert not verdict.same
    assert reason in verdict.reason
    assert set(verdict.others.tolist()) <= set(np.flatnonzero(is_wrong).tolist())


def test_another_processor_is_not_another_model() -> None:
    expected = features(1, 2)
    found = expected + 0.1 * expected.std() * np.random.default_rng(0).normal(size=expected.shape)
    verdict = same_vectors(expected, found.astype(np.float32), "float32")
    assert (verdict.same, verdict.reason, len(verdict.others)) == (False, "", 0)
    assert len(verdict.differing) > 200
    found[:30] = expected[30:60]
    partly = same_vectors(expected, found.astype(np.float32), "float32")
    assert "names and rows were mixed" in partly.reason or "the rows were mixed" in partly.reason


def test_codes_that_only_share_a_mean_are_not_the_same() -> None:
    expected = features(1, 2) + np.float32(0.1)  # every two vectors have a cosine above what coarse codes keep
    verdict = same_vectors(expected, shuffled(expected), "faiss")
    assert verdict.worst > verdict.tolerance
    assert "rows were mixed" in verdict.reason


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_give_a_verdict(count: int) -> None:
    found = same_vectors(features(1, 2, count), features(3, 2, count), "float32")
    assert not found.same
    assert found.reason
    assert np.isfinite([found.worst, found.median]).all()
