"""The figures of each query are those of the verification."""

from __future__ import annotations

import numpy as np
import pytest

from prunnet_export.benchmarks.plan._search import Search
from prunnet_export.evaluating import retrieval_metrics
from prunnet_export.relevance import ByLabel
from tests._inputs import array_split
from tests.benchmarks.plan._plans import unit

N, M, DIM = 40, 60, 5


def search(*, labels: bool = True) -> Search:
    relevance = ByLabel(np.arange(N) % 6, np.arange(M) % 6, own=np.arange(N)) if labels else None
    return Search(array_split(N), unit(N, DIM, seed=1), unit(M, DIM, seed=2), relevance)


def test_recall_is_that_of_the_verification() -> None:
    one, found = search(), 3 * unit(N, DIM, seed=5)
    assert one.relevance is not None
    scores = one.score(found)
    assert scores.recall is not None
    expected = retrieval_metrics(found, one.gallery, one.relevance).recall_at[1]
    assert scores.recall.value == pytest.approx(expected)
    assert scores.recall.low <= expected <= scores.recall.high
    assert scores.main is scores.hits


def test_the_teacher_agrees_with_itself() -> None:
    scores = search().teacher()
    assert scores.overlap.value == scores.overlap.low == scores.overlap.high == 1
    assert scores.cosine == pytest.approx(1)


def test_an_embedder_that_knows_nothing_has_the_overlap_of_chance() -> None:
    one = search(labels=False)
    means = [one.score(unit(N, DIM, seed=seed)).overlap.value for seed in range(30)]
    assert np.mean(means) == pytest.approx(one.chance(), abs=0.04)
    assert one.score(unit(N, DIM)).recall is None
    assert one.precision() is None


def test_equal_vectors_find_nothing() -> None:
    one = Search(array_split(N), unit(N, DIM), np.ones((M, DIM), np.float32) / DIM**0.5, search().relevance)
    assert one.score(unit(N, DIM, seed=3)).main.sum() == 0


def test_precision_leaves_the_own_image_out() -> None:
    gallery = unit(M, DIM, seed=2)
    relevance = ByLabel(np.arange(N), np.arange(M), own=np.arange(N))
    assert Search(array_split(N), gallery[:N], gallery, relevance).precision() == 0
