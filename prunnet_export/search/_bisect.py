"""The search on a ladder of candidates whose latency is a noisy step function of the capacity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_SPARE = 2  # with fewer, a straight ladder could not be left after four probes


@dataclass(frozen=True)
class Verdict:
    """Whether a rung is inside the budget, and which share of the budget it uses; 1 uses all of it."""

    inside: bool
    used: float


def largest_inside(rungs: Sequence[T], probe: Callable[[T], Verdict]) -> T | None:
    """The largest rung inside the budget, as far as the probed rungs tell.

    The largest and the smallest rung are probed first, because one of them is often the answer. The next rung is the
    one at which a straight line between the shares that its neighbours use reaches 1: latency and size are nearly
    straight over the capacity. It is moved towards the middle so far that no ladder needs more than ``_SPARE`` probes
    more than bisection (the bound of the ITP method; Oliveira and Takahashi, 2020). No rung is probed twice.

    Args:
        rungs: Rungs of a ladder, smallest first.
        probe: Returns the verdict on a rung. This is slow and may be noisy, but is asked once.

    Returns:
        The rung, or None if the smallest is outside.
    """
    if not rungs:
        return None
    largest = probe(rungs[-1])
    if largest.inside:
        return rungs[-1]
    if len(rungs) == 1 or not (smallest := probe(rungs[0])).inside:
        return None
    low, high = 0, len(rungs) - 1  # rungs[low] is inside, rungs[high] is not
    used_low, used_high = smallest.used, largest.used
    left = math.ceil(math.log2(max(1, high - low))) + _SPARE
    while high - low > 1:
        left -= 1
        place = low + _crossing(used_low, used_high) * (high - low)
        middle = min(max(int(place), low + 1, high - 2**left), high - 1, low + 2**left)
        found = probe(rungs[middle])
        if found.inside:
            low, used_low = middle, found.used
        else:
            high, used_high = middle, found.used
    return rungs[low]


def _crossing(used_low: float, used_high: float) -> float:
    """Where a straight line from one share to another reaches 1, from 0 to 1; the middle if it does not rise."""
    place = (1 - used_low) / (used_high - used_low) if used_high > used_low else math.nan
    return place if 0 <= place <= 1 else 0.5
