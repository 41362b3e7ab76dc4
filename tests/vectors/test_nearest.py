from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export import InvalidInput
from prunnet_export.vectors import Metric, nearest, open_vectors
from tests.vectors._files import numbers

METRICS: list[Metric] = ["cosine", "dot", "l2"]


def all_scores(queries: npt.NDArray[Any], rows: npt.NDArray[Any], metric: Metric) -> npt.NDArray[np.float32]:
    """Every score, straight from its definition."""
    left: npt.NDArray[np.float64] = queries.astype(np.float64)[:, None]
    right: npt.NDArray[np.float64] = rows.astype(np.float64)[None]
    if metric == "l2":
        return np.asarray(-((left - right) ** 2).sum(-1), np.float32)
    dots = (left * right).sum(-1)
    sizes = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return np.asarray(dots / sizes if metric == "cosine" else dots, np.float32)


def full_sort(
    scores: npt.NDArray[np.float32], k: int, own: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The best k of all, the lower row first among equals."""
    indices = np.full((len(scores), k), -1, np.int64)
    best = np.full((len(scores), k), -np.inf, np.float32)
    for query, row in enumerate(scores):
        order = [index for index in np.argsort(-row, kind="stable") if index != own[query]][:k]
        indices[query, : len(order)], best[query, : len(order)] = order, row[order]
    return indices, best


WORTH_IT = "prunnet_export.vectors._screen._WORTH_IT"


@given(data=st.data(), metric=st.sampled_from(METRICS), screened=st.booleans())
def test_is_a_full_sort(data: st.DataObject, metric: Metric, screened: bool) -> None:
    n, m, d = (data.draw(st.integers(1, most)) for most in (5, 40, 6))
    # Few different values, so that many scores are equal.
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries, rows = (generator.integers(-1, 3, (count, d)).astype(np.float32) for count in (n, m))
    queries[~queries.any(1)] = rows[~rows.any(1)] = 1
    own = generator.integers(-1, m, n)
    k, size = data.draw(st.integers(1, m + 3)), data.draw(st.integers(1, m + 3))
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    with patch(WORTH_IT, 0 if screened else 10**8):
        found = nearest(queries, rows.astype(dtype), k, metric, own=own, rows_at_once=size)
    indices, scores = full_sort(all_scores(queries, rows, metric), k, own)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_the_first_look_of_faiss_changes_nothing(metric: Metric) -> None:
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((6000, 24)).astype(np.float32)
    rows[1000:1400] = rows[7]  # more equal rows than the first look gives back
    rows[2000:2200] = rows[:200] * np.float32(1 + 2e-7)
    rows[3000:3100] *= 50
    queries = np.concatenate([rows[:40], draw.standard_normal((200, 24)).astype(np.float32)])
    own = np.concatenate([np.arange(40), np.full(200, -1)])
    plain = nearest(queries, rows, 9, metric, own=own)
    with patch(WORTH_IT, 0):
        for size in (None, 500, 4097):
            found = nearest(queries, rows, 9, metric, own=own, rows_at_once=size)
            np.testing.assert_array_equal(found.indices, plain.indices)
            np.testing.assert_array_equal(found.scores, plain.scores)


@pytest.mark.parametrize("metric", METRICS)
def test_does_not_depend_on_the_size_of_chunks(metric: Metric) -> None:
    # 300 rows, each six times: rounding in float32 would order equal rows by their place in a chunk.
    rows = np.tile(numbers(300, 96), (6, 1))
    queries = np.concatenate([numbers(40, 96, seed=1), rows[:5]])
    expected = full_sort(all_scores(queries, rows, metric), 20, np.full(len(queries), -1))[0]
    for size in (37, 256, 1800, 5000):
        np.testing.assert_array_equal(nearest(queries, rows, 20, metric, rows_at_once=size).indices, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_a_collapsed_gallery_gives_the_lowest_rows(metric: Metric) -> None:
    rows = np.tile(numbers(1, 96), (3000, 1))
    for size in (100, 4096):
        found = nearest(numbers(3, 96, seed=1), rows, 5, metric, rows_at_once=size)
        assert found.indices.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_more_queries_than_a_part_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunnet_export.vectors._nearest._QUERIES", 7)
    queries, rows, own = numbers(30, seed=1), numbers(), np.arange(30)
    expected = full_sort(all_scores(queries, rows, "dot"), 3, own)[0]
    np.testing.assert_array_equal(nearest(queries, rows, 3, "dot", own=own).indices, expected)


def test_files_are_searched_like_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "g.npy", numbers().astype(np.float16))
    found = nearest(numbers(4, seed=1), open_vectors(tmp_path / "g.npy"), 3, "cosine", rows_at_once=8)
    expected = nearest(numbers(4, seed=1), numbers(), 3, "cosine")
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_int8_rows_are_scored_as_what_they_mean() -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (50, 16)).astype(np.int8)
    found = nearest(numbers(4), codes, 50, "dot")
    expected = full_sort(all_scores(numbers(4), codes / np.float32(127), "dot"), 50, np.full(4, -1))
    np.testing.assert_array_equal(found.indices, expected[0])


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4), st.sampled_from(METRICS))
def test_binary_codes_are_found_by_bits_and_scored_again(seed: int, k: int, oversampling: int, metric: Metric) -> None:
    rows, queries = numbers(40, seed=seed), numbers(5, seed=seed + 1)
    codes = np.packbits(rows > 0, axis=1)
    own = np.array([-1, 3, 0, 7, -1])
    found = nearest(queries, codes, k, metric, own=own, oversampling=oversampling, rows_at_once=9)
    signs = np.where(rows > 0, 1, -1)
    differ = ((queries > 0)[:, None] != (rows > 0)[None]).sum(-1)
    near = full_sort(-differ.astype(np.float32), min(k * oversampling, 40), own)[0]
    scores = all_scores(queries, signs, metric)
    for query in range(5):
        candidates = np.sort(near[query][near[query] >= 0])
        order = candidates[np.argsort(-scores[query, candidates], kind="stable")][:k]
        assert found.indices[query, : len(order)].tolist() == order.tolist()
        np.testing.assert_allclose(found.scores[query, : len(order)], scores[query, order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, 0])
def test_rows_without_a_direction_are_refused(bad: float) -> None:
    rows = numbers()
    rows[31] = bad
    with pytest.raises(InvalidInput, match="vector 31"):
        nearest(numbers(2), rows, 3, "dot", rows_at_once=8)
    with pytest.raises(InvalidInput, match="the queries: vector 31"):
        nearest(rows, numbers(), 3, "dot")


def test_other_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="16 dimensions, the queries have 8"):
        nearest(numbers(2, 8), numbers(), 3, "dot")
