"""The order of candidates: the best largest one; the next rung if it is over the budget; no rung if its file fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.building import Candidate
from prunnet_export.search._choices import Choices


@dataclass(frozen=True)
class Rung:
    """Stands for a candidate."""

    ladder: str
    capacity: float


def choices(*ladders: list[float]) -> Choices:
    rungs = [[Rung(str(name), capacity) for capacity in ladder] for name, ladder in enumerate(ladders)]
    return Choices(cast("Any", rungs), lambda rung: -rung.capacity)


def best(of: Choices) -> Rung | None:
    return cast("Rung | None", of.best())


def take(of: Choices) -> Candidate:
    found = of.best()
    assert found is not None
    return found


def test_down_one_ladder_another_may_be_the_best() -> None:
    mine = choices([0.2, 0.5, 0.9], [0.3, 0.8])
    assert best(mine) == Rung("0", 0.9)
    mine.step_down(take(mine))
    assert best(mine) == Rung("1", 0.8)
    mine.step_down(take(mine))
    assert best(mine) == Rung("0", 0.5)


def test_a_file_that_does_not_hold_takes_its_ladder_along() -> None:
    mine = choices([0.2, 0.9], [0.8])
    mine.drop(take(mine))
    assert best(mine) == Rung("1", 0.8)
    mine.drop(take(mine))
    assert best(mine) is None


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=0, max_size=5, unique=True), max_size=4))
def test_every_rung_is_tried_once_from_the_largest_down(ladders: list[list[float]]) -> None:
    mine = choices(*(sorted(ladder) for ladder in ladders))
    seen = []
    while (found := best(mine)) is not None:
        seen.append(found)
        mine.step_down(cast("Candidate", found))
    assert len(set(seen)) == len(seen) == sum(map(len, ladders))
    assert [rung.capacity for rung in seen] == sorted((rung.capacity for rung in seen), reverse=True)
