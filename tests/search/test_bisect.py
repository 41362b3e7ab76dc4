from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.search._bisect import Verdict, largest_inside


@given(st.integers(0, 300), st.data())
def test_finds_the_largest_and_looks_at_each_rung_once(count: int, data: st.DataObject) -> None:
    fitting = data.draw(st.integers(0, count))
    shares = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    looked: list[int] = []

    def probe(rung: int) -> Verdict:
        looked.append(rung)
        inside = rung < fitting
        return Verdict(inside, shares[rung] if inside else 1 + 10 * shares[rung])  # far from straight

    found = largest_inside(range(count), probe)
    assert found == (fitting - 1 if fitting else None)
    assert len(looked) == len(set(looked))
    assert len(looked) <= 4 + math.ceil(math.log2(max(count, 1)))  # two more than bisection


@given(st.integers(3, 300), st.floats(0, 1), st.floats(0.1, 10))
def test_a_straight_ladder_needs_four_probes(count: int, start: float, rise: float) -> None:
    looked: list[int] = []

    def probe(rung: int) -> Verdict:
        looked.append(rung)
        used = start + rise * rung / count
        return Verdict(used <= 1, used)

    found = largest_inside(range(count), probe)
    inside = [rung for rung in range(count) if start + rise * rung / count <= 1]
    assert found == (max(inside) if inside else None)
    assert len(looked) <= 5  # one more where rounding puts the crossing beside the rung


def test_a_noisy_ladder_needs_fewer_probes_than_bisection_in_the_mean() -> None:
    generator = np.random.default_rng(0)
    counts = []
    for _ in range(300):
        used = np.linspace(0.2, 1, 64) * generator.normal(1, 0.03, 64) / generator.uniform(0.3, 0.9)
        looked: list[int] = []

        def probe(rung: int, looked: list[int] = looked, used: Any = used) -> Verdict:
            looked.append(rung)
            return Verdict(bool(used[rung] <= 1), float(used[rung]))

        largest_inside(range(64), probe)
        counts.append(len(looked))
    assert np.mean(counts) < 0.7 * (2 + math.log2(64))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3) | st.just(math.nan) | st.just(math.inf)), max_size=60))
def test_whatever_the_verdicts_a_rung_that_was_seen_inside_is_returned(verdicts: list[tuple[bool, float]]) -> None:
    looked: dict[int, bool] = {}

    def probe(rung: int) -> Verdict:
        assert rung not in looked
        looked[rung] = verdicts[rung][0]
        return Verdict(*verdicts[rung])

    found = largest_inside(range(len(verdicts)), probe)
    if found is None:
        assert not any(looked.values())
    else:
        assert looked[found]
        assert found == max(rung for rung, verdict in looked.items() if verdict)


def test_the_ends_settle_it_where_they_can() -> None:
    for verdict, found, expected in ((True, 3, [3]), (False, None, [3, 1])):
        looked: list[int] = []

        def probe(rung: int, looked: list[int] = looked, verdict: bool = verdict) -> Verdict:
            looked.append(rung)
            return Verdict(verdict, 0.5 if verdict else 2.0)

        assert largest_inside([1, 2, 3], probe) == found
        assert looked == expected
