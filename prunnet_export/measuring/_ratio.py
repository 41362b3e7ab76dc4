"""How many times as long one group of runs takes as another, with a confidence interval.

A run is a process. Inferences of one process resemble one another more than those of two processes, so the run, and not
the inference, is the unit of noise: each run gives one number. The intervals are of ranks, so one disturbed run does
not widen them much, and no distribution is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

from prunnet_export._errors import InvalidInput

_TAIL = 0.025  # on each side of a 95 % interval


@dataclass(frozen=True)
class Ratio:
    """A ratio and its 95 % interval."""

    value: float
    low: float
    high: float


def ratio_of_groups(old: Sequence[float], new: Sequence[float]) -> Ratio | None:
    """The ratio of independent groups: the median of all ratios of a new value to an old one.

    This is the estimate of Hodges and Lehmann (1963). Its interval inverts the test of Mann and Whitney.

    Args:
        old: A positive number of each run.
        new: The same of the other group.

    Returns:
        The ratio; None if the groups are too small for an interval: below 4 values each.

    Raises:
        InvalidInput: a value is not positive and finite.
    """
    before, after = _logarithms(old), _logarithms(new)
    if not before or not after:
        return None
    differences = sorted(b - a for a in before for b in after)
    return _interval(differences, _tail_count(_mann_whitney(len(before), len(after))))


def ratio_of_pairs(old: Sequence[float], new: Sequence[float]) -> Ratio | None:
    """The ratio of runs that were made in turns: the median of the geometric means of all pairs of their ratios.

    This is the estimate of Hodges and Lehmann (1963). Its interval inverts the signed-rank test of Wilcoxon.

    Args:
        old: A positive number of each run.
        new: The same of the run beside it; of the same length.

    Returns:
        The ratio; None if there are too few pairs for an interval: below 6.

    Raises:
        InvalidInput: a value is not positive and finite, or there are not as many of both.
    """
    before, after = _logarithms(old), _logarithms(new)
    if len(before) != len(after):
        raise InvalidInput(f"{len(before)} and {len(after)} runs are no pairs", hint="measure both in turns")
    differences = [b - a for a, b in zip(before, after, strict=True)]
    means = sorted((a + b) / 2 for a, b in combinations_with_replacement(differences, 2))
    return _interval(means, _tail_count(_signed_rank(len(differences)))) if means else None


def _interval(ordered: Sequence[float], cut: int) -> Ratio | None:
    """The median, and the values that are ``cut`` from both ends; None if ``cut`` is 0."""
    if cut == 0:
        return None
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return Ratio(math.exp(middle), math.exp(ordered[cut - 1]), math.exp(ordered[-cut]))


def _tail_count(counts: Sequence[int]) -> int:
    """The largest k with P(statistic < k) <= 2.5 %, for a statistic with these counts of 0, 1, ..."""
    limit, below = _TAIL * sum(counts), 0
    for k, count in enumerate(counts):
        below += count
        if below > limit:
            return k
    return 0


@cache
def _mann_whitney(m: int, n: int) -> tuple[int, ...]:
    """In how many orders of m and n values do u pairs stand in the wrong order? For u = 0 .. m n."""
    # The product of (1 - x^(n+i)) / (1 - x^i) for i = 1 .. m.
    counts = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            counts[u] -= counts[u - n - i]
        for u in range(i, m * n + 1):
            counts[u] += counts[u - i]
    return tuple(counts)


@cache
def _signed_rank(n: int) -> tuple[int, ...]:
    """How many choices of signs give the negative ranks the sum w? For w = 0 .. n (n + 1) / 2."""
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for w in range(len(counts) - 1, rank - 1, -1):
            counts[w] += counts[w - rank]
    return tuple(counts)


def _logarithms(values: Sequence[float]) -> list[float]:
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise InvalidInput("a latency that is not positive and finite", hint="measure again")
    return [math.log(value) for value in values]
