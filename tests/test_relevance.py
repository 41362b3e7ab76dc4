"""Relevance: cases written by hand, and general properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.relevance import ByLabel, Listed, Lists, Relevance, relevance_from_arrays
from tests._asserts import assert_one_line, assert_same_relevance
from tests._inputs import listed_by

EMPTY = np.array([], np.int64)


def by_label(seed: int, *, cameras: bool, own: bool, n: int = 6, m: int = 11) -> ByLabel:
    draw = np.random.default_rng(seed)
    return ByLabel(
        draw.integers(0, 3, n),
        draw.integers(0, 3, m),
        draw.integers(0, 2, n) if cameras else None,
        draw.integers(0, 2, m) if cameras else None,
        draw.integers(-1, m, n) if own else None,
    )


def listed(seed: int, *, n: int = 6, m: int = 11) -> Listed:
    kinds = np.random.default_rng(seed).choice(3, (n, m))
    return listed_by(kinds)


any_relevance = st.one_of(
    st.builds(by_label, st.integers(0, 999), cameras=st.booleans(), own=st.booleans()),
    st.builds(listed, st.integers(0, 999)),
)


class TestByLabel:
    def test_labels(self) -> None:
        relevant, junk = ByLabel(np.array([0, 1]), np.array([0, 1, 0])).rows(0, 2)
        assert relevant.tolist() == [[True, False, True], [False, True, False]]
        assert not junk.any()

    def test_the_same_camera_is_junk_and_another_persons_image_is_not(self) -> None:
        relevance = ByLabel(np.array([5]), np.array([5, 5, 6, 6]), np.array([1]), np.array([1, 2, 1, 2]))
        relevant, junk = relevance.rows(0, 1)
        assert relevant.tolist() == [[False, True, False, False]]
        assert junk.tolist() == [[True, False, False, False]]

    def test_the_own_image_is_junk_where_there_is_one(self) -> None:
        relevance = ByLabel(np.array([0, 0]), np.array([0, 0]), own=np.array([1, -1]))
        relevant, junk = relevance.rows(0, 2)
        assert relevant.tolist() == [[True, False], [True, True]]
        assert junk.tolist() == [[False, True], [False, False]]

    @pytest.mark.parametrize(
        ("arrays", "match"),
        [
            ({"query_labels": np.array([0.0])}, "query_labels is a float64"),
            ({"gallery_labels": np.array([[0]])}, r"gallery_labels .* \(1, 1\)"),
            ({"query_labels": np.array(0)}, r"query_labels .* \(\)"),
            ({"query_cameras": np.array([1])}, "only one side"),
            ({"query_cameras": np.array([1, 2]), "gallery_cameras": np.array([1, 1])}, "query_cameras"),
            ({"own": np.array([2])}, "outside the gallery's 2 rows"),
            ({"own": np.array([-2])}, "outside"),
            ({"own": np.array([0, 1])}, "own"),
        ],
    )
    def test_hostile_arrays(self, arrays: dict[str, Any], match: str) -> None:
        with pytest.raises(InvalidInput, match=match) as caught:
            ByLabel(**{"query_labels": np.array([0]), "gallery_labels": np.array([0, 1]), **arrays})
        assert_one_line(caught.value)


class TestListed:
    def test_by_hand(self) -> None:
        relevance = Listed(Lists.of([[2, 0, 2], []]), Lists.of([[1], [0, 1]]), 3)
        relevant, junk = relevance.rows(0, 2)
        assert relevant.tolist() == [[True, False, True], [False, False, False]]
        assert junk.tolist() == [[False, True, False], [True, True, False]]
        assert relevance.counts().tolist() == [2, 0]

    def test_rows_are_renumbered(self) -> None:
        relevance = Listed(Lists.of([[0, 2], [1]]), Lists.of([[1], []]), 3)
        few = relevance.restricted(np.array([1, 0]), np.array([2, 1]))
        assert few.rows(0, 2)[0].tolist() == [[False, True], [True, False]]
        assert few.rows(0, 2)[1].tolist() == [[False, False], [False, True]]

    @pytest.mark.parametrize(
        ("positives", "junk", "match"),
        [
            (Lists.of([[0]]), Lists.of([[1], [2]]), "positives of 1 queries and junk of 2"),
            (Lists.of([[0], [3]]), Lists.of([[], []]), "row 3 is beyond the 3"),
            (Lists.of([[0], [-1]]), Lists.of([[], []]), "row -1"),
            (Lists.of([[], [2]]), Lists.of([[], [1, 2]]), "row 2 is both relevant to query 1 and junk"),
            (Lists(np.array([0, 2, 1]), np.array([0])), Lists.of([[], []]), "do not ascend"),
            (Lists(np.array([0, 1]), np.array([0, 1])), Lists.of([[]]), "do not ascend"),
            (Lists(EMPTY, EMPTY), Lists(EMPTY, EMPTY), "int64"),
            (Lists(np.array([0, 0], np.int32), EMPTY), Lists.of([[]]), "int64"),
        ],
    )
    def test_hostile_lists(self, positives: Lists, junk: Lists, match: str) -> None:
        with pytest.raises(InvalidInput, match=match) as caught:
            Listed(positives, junk, 3)
        assert_one_line(caught.value)

    def test_no_query(self) -> None:
        nothing = Listed(Lists.of([]), Lists.of([]), 3)
        assert nothing.shape == (0, 3)
        assert nothing.counts().tolist() == []


@given(any_relevance)
def test_nothing_is_both_relevant_and_junk(relevance: Relevance) -> None:
    relevant, junk = relevance.rows(0, len(relevance))
    assert relevant.shape == junk.shape == relevance.shape
    assert not (relevant & junk).any()


@given(any_relevance)
def test_counts_are_those_of_the_rows(relevance: Relevance) -> None:
    assert relevance.counts().tolist() == relevance.rows(0, len(relevance))[0].sum(axis=1).tolist()


@given(any_relevance)
def test_the_most_junk_is_not_exceeded(relevance: Relevance) -> None:
    most = int(relevance.rows(0, len(relevance))[1].sum(axis=1).max(initial=0))
    assert most <= relevance.most_junk() <= most + 1


@given(any_relevance, st.integers(0, 6), st.integers(0, 6))
def test_a_part_of_the_rows_is_a_part_of_the_whole(relevance: Relevance, start: int, stop: int) -> None:
    start, stop = sorted((start, stop))
    for part, whole in zip(relevance.rows(start, stop), relevance.rows(0, 6), strict=True):
        np.testing.assert_array_equal(part, whole[start:stop])


@given(any_relevance, st.permutations(range(6)), st.permutations(range(11)), st.integers(1, 6), st.integers(1, 11))
def test_restricted_is_a_part_of_the_whole(
    relevance: Relevance, queries: list[int], gallery: list[int], n: int, m: int
) -> None:
    chosen = np.array(queries[:n]), np.array(gallery[:m])
    few = relevance.restricted(*chosen)
    for part, whole in zip(few.rows(0, n), relevance.rows(0, 6), strict=True):
        np.testing.assert_array_equal(part, whole[np.ix_(*chosen)])


@given(any_relevance)
def test_arrays_say_all_of_it(relevance: Relevance) -> None:
    arrays = relevance.arrays()
    assert all(array.dtype == np.int64 for array in arrays.values())
    again = relevance_from_arrays({**arrays, "other": np.array("x")}, n_gallery=11)
    assert again is not None
    assert_same_relevance(again, relevance)


def test_no_arrays_are_no_relevance() -> None:
    assert relevance_from_arrays({"query_labels": np.array([1])}, n_gallery=3) is None
    with pytest.raises(KeyError):
        relevance_from_arrays({"positive_starts": np.array([0])}, n_gallery=3)
