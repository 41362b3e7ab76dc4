"""What a run learns from a teacher: which images, which vectors, and what travels with the network."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import Labels
from prunnet_export.training._match import Match, Vectors, join, match
from prunnet_export.vectors import Names
from tests._inputs import array_split

N, DIM = 40, 6
VECTORS = np.random.default_rng(0).normal(1, 2, (N, DIM)).astype(np.float32)
SPLIT = array_split(N)


def names(*texts: str) -> Names:
    return Names(texts, Path("their.npz"))


def matched(known: Labels | None = None, *, vectors: Vectors = VECTORS) -> Match:
    chosen = np.ones(N, np.bool_)
    if known is not None:
        chosen[:] = False
        chosen[known] = True

    def take(rows: Labels, views: Labels) -> Vectors:
        assert len(rows) == len(views)
        assert chosen[rows].all()
        return vectors[rows]

    return match(take, chosen, SPLIT, name="their.parquet", kind="vectors", sha256="0" * 64)


def test_queries_and_images_to_learn_from_are_disjoint_and_complete() -> None:
    made = matched()
    queries = {name for name, query in zip(made.sample.names, made.sample.is_query, strict=True) if query}
    learned = {SPLIT.relative_names[row] for row in made.targets.rows}
    assert len(queries) == N // 4
    assert not queries & learned
    assert queries | learned == set(SPLIT.relative_names)


def test_targets_are_unit_vectors_of_their_images() -> None:
    rows = np.array([3, 1, 3])
    expected = VECTORS[rows] / np.linalg.norm(VECTORS[rows], axis=1, keepdims=True)
    np.testing.assert_allclose(matched().targets.take(rows, np.zeros(3, np.int64)), expected, rtol=1e-6)


def test_moments_are_those_of_the_unit_vectors_to_learn_from() -> None:
    made = matched()
    unit = VECTORS[made.targets.rows] / np.linalg.norm(VECTORS[made.targets.rows], axis=1, keepdims=True)
    np.testing.assert_allclose(made.mean, unit.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.std, unit.std(0), rtol=1e-4)


def test_the_sample_has_the_teachers_own_vectors_and_the_images_sums() -> None:
    sample = matched().sample
    row_of = {name: row for row, name in enumerate(SPLIT.relative_names)}
    rows = [row_of[name] for name in sample.names]
    np.testing.assert_array_equal(sample.embeddings, VECTORS[rows])
    assert sample.image_sha256 == tuple(hashlib.sha256(SPLIT.encoded(row)).hexdigest() for row in rows)


def test_only_images_with_vectors_are_used() -> None:
    known = np.arange(0, N, 2)
    made = matched(known)
    used = {*made.sample.names, *(SPLIT.relative_names[row] for row in made.targets.rows)}
    assert used == {SPLIT.relative_names[int(row)] for row in known}


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="known of 7 images"):
        matched(np.arange(7))
    assert matched(np.arange(8)).sample.is_query.sum() == 2


def test_too_few_images_for_an_export_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    matched(np.arange(40))
    assert "40 images with vectors are too few to verify an export: it needs 20 held-out images, so 80" in caplog.text


@pytest.mark.parametrize("noise", [0, 1e-7, 1e-5])
def test_vectors_that_are_all_the_same_are_refused(noise: float) -> None:
    same = VECTORS[0] * np.linspace(0.5, 2, N)[:, None]
    vectors = (same * (1 + noise * np.random.default_rng(1).normal(size=same.shape))).astype(np.float32)
    with pytest.raises(InvalidInput, match=r"their\.parquet are the same for all images"):
        matched(vectors=vectors)


def test_vectors_that_differ_a_little_are_kept() -> None:
    noise = np.random.default_rng(1).normal(size=VECTORS.shape)
    assert matched(vectors=(VECTORS[0] * (1 + 1e-2 * noise)).astype(np.float32)).std.max() > 0


@pytest.mark.parametrize(("dim", "message"), [(1, "have 1 dimension"), (8193, "have 8193 dimensions")])
def test_vectors_that_are_too_short_or_too_long_are_refused(dim: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        matched(vectors=np.random.default_rng(0).normal(size=(N, dim)).astype(np.float32))


def test_vectors_are_joined_by_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert join(["a", "b", "c"], names("c", "x", "a", "b"), file="f").tolist() == [2, 3, 0]
        assert caplog.messages == []
        assert join([*"abcdefg"], names("g", "a"), file="their.npz").tolist() == [1, -1, -1, -1, -1, -1, 0]
    assert caplog.messages == ["5 of 7 images have no vector in their.npz and are left out: b, c, d, ..."]


def test_names_that_never_fit_are_shown() -> None:
    with pytest.raises(InvalidInput, match=r"like 'shop/a\.jpg', those of the images like 'a\.jpg'"):
        join(["a.jpg"], names("shop/a.jpg"), file="their.npz")
