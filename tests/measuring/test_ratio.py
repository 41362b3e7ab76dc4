"""Ratios of runs: the counts of rank statistics, the coverage of the intervals, and few or bad runs."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.measuring import ratio_of_groups, ratio_of_pairs
from prunnet_export.measuring._ratio import _mann_whitney, _signed_rank

VALUES = st.lists(st.floats(0.01, 1000), min_size=6, max_size=12)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4), (5, 2)])
def test_counts_of_wrong_pairs(m: int, n: int) -> None:
    counts = [0] * (m * n + 1)
    for places in combinations(range(m + n), m):
        counts[sum(place - index for index, place in enumerate(places))] += 1
    assert list(_mann_whitney(m, n)) == counts


@pytest.mark.parametrize("n", [1, 4, 6])
def test_counts_of_rank_sums(n: int) -> None:
    counts = [0] * (n * (n + 1) // 2 + 1)
    for signs in product((0, 1), repeat=n):
        counts[sum(rank for rank, negative in enumerate(signs, 1) if negative)] += 1
    assert list(_signed_rank(n)) == counts


@pytest.mark.parametrize("function", [ratio_of_groups, ratio_of_pairs])
def test_the_interval_covers_the_true_ratio_in_95_of_100_cases(function: object) -> None:
    draw, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        old, new = np.exp(draw.standard_t(3, size=(2, 10)) / 10)  # heavy tails
        ratio = function(list(old), list(1.1 * new))  # type: ignore[operator]  # one of two functions
        covered += ratio.low <= 1.1 <= ratio.high
    assert 0.94 <= covered / 1000 <= 0.99


@given(VALUES, st.floats(0.1, 10))
def test_a_factor_is_found_exactly(values: list[float], factor: float) -> None:
    for function in (ratio_of_groups, ratio_of_pairs):
        itself = function(values, values)
        scaled = function(values, [factor * value for value in values])
        assert itself is not None
        assert scaled is not None
        assert math.isclose(itself.value, 1)
        assert itself.low <= 1.0000001
        assert itself.high >= 0.9999999
        for name in ("value", "low", "high"):
            assert math.isclose(getattr(scaled, name), factor * getattr(itself, name), rel_tol=1e-9)


def test_one_disturbed_run_does_not_matter() -> None:
    steady = [1 + index / 1000 for index in range(12)]
    for function in (ratio_of_groups, ratio_of_pairs):
        ratio = function(steady, [*steady[:11], 50.0])
        assert ratio is not None
        assert 0.98 < ratio.low <= ratio.value <= ratio.high < 1.02


def test_too_few_runs_have_no_interval() -> None:
    assert ratio_of_groups([1.0] * 3, [1.0] * 3) is None
    assert ratio_of_groups([1.0] * 4, [1.0] * 4) is not None
    assert ratio_of_pairs([1.0] * 5, [1.0] * 5) is None
    assert ratio_of_pairs([1.0] * 6, [1.0] * 6) is not None
    assert ratio_of_groups([], [1.0]) is None
    assert ratio_of_pairs([], []) is None


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_values_that_are_no_latency(wrong: float) -> None:
    for function in (ratio_of_groups, ratio_of_pairs):
        with pytest.raises(InvalidInput, match="not positive"):
            function([1.0], [wrong])
    with pytest.raises(InvalidInput, match="no pairs"):
        ratio_of_pairs([1.0], [1.0, 2.0])
