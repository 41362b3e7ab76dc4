"""Bisection on a ladder of candidates whose latency is a noisy step function of the capacity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def largest_inside(rungs: Sequence[T], inside: Callable[[T], bool]) -> T | None:
    """The largest rung that bisection finds inside the budget.

    The largest and the smallest rung are tested first, because one of them is often the answer. No rung is tested
    twice, so O(log n) rungs are built.

    Args:
        rungs: Rungs of a ladder, smallest first.
        inside: Whether a rung is inside the budget. This is slow and may be noisy, but is asked once.

    Returns:
        The rung, or None if the smallest is outside.
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
