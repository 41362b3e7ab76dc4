from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.evaluating._match_thresholds import Scores, match_thresholds


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

    assert rates(999) == []
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
