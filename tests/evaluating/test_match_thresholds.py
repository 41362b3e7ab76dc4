from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import UsageError
from prunnet_export.evaluating._match_thresholds import Scores, check_threshold, match_thresholds, why_no_threshold
from prunnet_export.vectors import Metric
from tests._asserts import assert_one_line


def scores(count: int, *, seed: int = 0, scale: float = 1) -> Scores:
    return (scale * np.random.default_rng(seed).normal(size=count)).astype(np.float32)


@given(st.integers(10, 3000), st.floats(0.1, 1), st.integers(0, 99))
def test_both_accept_the_same_share(pairs: int, shrunk: float, seed: int) -> None:
    teacher, artifact = scores(pairs, seed=seed), scores(pairs, seed=seed + 1, scale=shrunk)
    for one in match_thresholds(teacher, artifact, "cosine"):
        accepted = round(one.false_accept_rate * pairs)
        assert accepted >= 10
        assert (teacher >= np.float32(one.teacher)).sum() == (artifact >= np.float32(one.artifact)).sum() == accepted


def test_rates_that_the_pairs_do_not_allow_are_left_out() -> None:
    def rates(pairs: int) -> list[float]:
        found = match_thresholds(scores(pairs), scores(pairs, seed=1), "cosine")
        assert all(one.pairs == pairs for one in found)
        return [one.false_accept_rate for one in found]

    assert rates(949) == []
    assert rates(1000) == [0.01]
    assert rates(100_000) == pytest.approx([1e-2, 1e-3, 1e-4])


def ascending(last: float) -> Scores:
    return np.linspace(0, last, 1001).astype(np.float32)


def test_the_threshold_that_was_asked_for() -> None:
    teacher = ascending(1)
    [found] = match_thresholds(teacher, ascending(0.5), "dot", asked=0.9)
    assert found.teacher == 0.9
    assert found.artifact == pytest.approx(0.45)
    assert found.false_accept_rate == pytest.approx(0.1, abs=2e-3)
    assert match_thresholds(teacher, teacher, "dot", asked=2) == []


def test_distances_are_accepted_below_their_threshold() -> None:
    distances = ascending(10)
    [found] = match_thresholds(-distances, -distances - 1, "l2", asked=2)
    assert found.teacher == 2
    assert found.artifact == pytest.approx(3)
    assert found.false_accept_rate == pytest.approx(0.2, abs=2e-3)


@pytest.mark.parametrize(
    ("metric", "asked"),
    [
        *((metric, asked) for metric in get_args(Metric) for asked in (math.nan, math.inf, -math.inf)),
        ("cosine", 1.001),
        ("cosine", 5.0),
        ("cosine", -1.5),
        ("l2", -0.1),
    ],
)
def test_a_threshold_that_the_metric_does_not_have_is_refused(metric: Metric, asked: float) -> None:
    with pytest.raises(UsageError, match=f"--teacher-threshold {asked:g} is no ") as raised:
        check_threshold(asked, metric)
    assert_one_line(raised.value)


@pytest.mark.parametrize(
    ("metric", "asked"), [("cosine", -1), ("cosine", 1), ("dot", -30), ("dot", 500), ("l2", 0), ("l2", 500)]
)
def test_a_threshold_that_the_metric_has_is_accepted(metric: Metric, asked: float) -> None:
    check_threshold(asked, metric)


@given(st.integers(0, 3000), st.sampled_from(get_args(Metric)), st.none() | st.floats(-4, 4), st.integers(0, 99))
def test_no_threshold_has_a_reason_with_the_number_of_pairs(
    pairs: int, metric: Metric, asked: float | None, seed: int
) -> None:
    teacher = scores(pairs, seed=seed)
    found, why = match_thresholds(teacher, teacher, metric, asked=asked), why_no_threshold(teacher, metric, asked=asked)
    assert bool(found) == (why is None)
    if why is not None:
        assert f"{pairs:,} wrong pairs" in why
        assert "too few for a threshold" in why


def test_the_reason_counts_the_pairs_that_are_accepted() -> None:
    why = why_no_threshold(ascending(1), "cosine", asked=0.997)
    assert why == (
        "the teacher accepts 4 of 1,001 wrong pairs at 0.997, too few for a threshold; at least 10 are needed"
    )
