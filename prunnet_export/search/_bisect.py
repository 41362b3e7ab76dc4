"""Bisection on a ladder of candidates whose latency is a noisy step function of the capacity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def largest_inside(rungs: Sequence[T], inside: Callable[[T], bool]) -> T | None:
    """The largest rung that is inside, as far as bisection can tell.

    The largest and the smallest are looked at first: one of them often settles it. Each rung is looked at once
    at most, so O(log n) of them are built.

    Args:
        rungs: Smallest first.
        inside: Whether a rung is inside the budget; expensive, and taken at its word.

    Returns:
        The rung, or None where the smallest is outside.
    """
    if not rungs:
        return None
    if inside(rungs[-1]):
        return rungs[-1]
    if len(rungs) == 1 or not inside(rungs[0]):
        return None
    low, high = 0, len(rungs) - 1  # rungs[low] is inside, rungs[high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if inside(rungs[middle]):
            low = middle
        else:
            high = middle
    return rungs[low]
