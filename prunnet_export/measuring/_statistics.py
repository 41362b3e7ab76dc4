"""Percentiles of samples, and upper bounds of the percentile of the next measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from prunnet_export._errors import InvalidInput

# One-sided quantiles of Student's t for 1..30 degrees of freedom, by confidence.
_STUDENT_T = {
    0.90: (
        *(3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372),
        *(1.363, 1.356, 1.350, 1.345, 1.341, 1.337, 1.333, 1.330, 1.328, 1.325),
        *(1.323, 1.321, 1.319, 1.318, 1.316, 1.315, 1.314, 1.313, 1.311, 1.310),
    ),
    0.95: (
        *(6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812),
        *(1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725),
        *(1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697),
    ),
    0.99: (
        *(31.821, 6.965, 4.541, 3.747, 3.365, 3.143, 2.998, 2.896, 2.821, 2.764),
        *(2.718, 2.681, 2.650, 2.624, 2.602, 2.583, 2.567, 2.552, 2.539, 2.528),
        *(2.518, 2.508, 2.500, 2.492, 2.485, 2.479, 2.473, 2.467, 2.462, 2.457),
    ),
}
CONFIDENCES = tuple(_STUDENT_T)


def check_percentile(q: float) -> float:
    """The percentile ``q`` itself, after a check.

    Raises:
        InvalidInput: it is not strictly between 0 and 100.
    """
    if not 0 < q < 100:  # noqa: PLR2004  # per cent
        raise InvalidInput(f"percentile {q}", hint="give a number between 0 and 100, both excluded")
    return q


def check_confidence(confidence: float) -> float:
    """The confidence itself, after a check.

    Raises:
        InvalidInput: it is not one of :data:`CONFIDENCES`.
    """
    if confidence not in CONFIDENCES:
        raise InvalidInput(f"confidence {confidence}", hint=f"known: {', '.join(map(str, CONFIDENCES))}")
    return confidence


def percentile(samples: Sequence[float], q: float) -> float:
    """The least x with F_n(x) >= q / 100, the inverse of the empirical distribution function (nearest rank).

    It is always one of the samples, never an interpolation: with n samples it is the ceil(q n / 100)-th smallest.

    Args:
        samples: One or more numbers, in any order.
        q: Percentile in per cent, 0 < q < 100.

    Raises:
        InvalidInput: there are no samples, or q is out of range.
    """
    check_percentile(q)
    if not samples:
        raise InvalidInput("no samples", hint="take one or more")
    rank = math.ceil(_exact(q) * len(samples))
    return sorted(samples)[rank - 1]


def percentile_upper_bound(samples: Sequence[float], q: float, *, confidence: float) -> float | None:
    """The smallest order statistic X_(k) with P(X_(k) >= x_q) >= confidence, whatever the distribution.

    X_(k) is below the true percentile x_q only if at least k of the n samples are, so that
    P(X_(k) >= x_q) >= P(Bin(n, q / 100) <= k - 1). Samples are assumed to be independent.

    Args:
        samples: Numbers, in any order.
        q: Percentile in per cent, 0 < q < 100.
        confidence: 0 < confidence < 1.

    Returns:
        The bound, or None if even the largest sample does not reach the confidence (see :func:`samples_needed`).

    Raises:
        InvalidInput: q is out of range.
    """
    n, p = len(samples), float(_exact(check_percentile(q)))
    below = 0.0
    for k in range(1, n + 1):
        below += _binomial(n, k - 1, p)
        if below >= confidence:
            return sorted(samples)[k - 1]
    return None


def samples_needed(q: float, *, confidence: float) -> int:
    """The smallest n with 1 - (q / 100)^n >= confidence; fewer samples give no bound of the percentile.

    Args:
        q: Percentile in per cent, 0 < q < 100.
        confidence: 0 < confidence < 1.
    """
    n = max(1, math.ceil(math.log1p(-confidence) / math.log(check_percentile(q) / 100)) - 1)
    # percentile_upper_bound has rounding errors. So start one lower and take the first n that gives a bound there.
    while percentile_upper_bound([0.0] * n, q, confidence=confidence) is None:
        n += 1
    return n


def prediction_bound(values: Sequence[float], *, confidence: float) -> float | None:
    """The upper bound m + t s sqrt(1 + 1/k) of one more value, after k independent, roughly normal values.

    If ``values`` are the percentiles of k runs, the bound includes effects that differ between runs and not between
    samples: memory layout, clocks, other processes.

    Args:
        values: One number per run.
        confidence: One of :data:`CONFIDENCES`.

    Returns:
        The bound, or None for fewer than two values.

    Raises:
        InvalidInput: the confidence is not tabulated.
    """
    check_confidence(confidence)
    k = len(values)
    if k < 2:  # noqa: PLR2004  # one run has no spread
        return None
    table = _STUDENT_T[confidence]
    t = table[min(k - 1, len(table)) - 1]  # after the table's end, its last entry is a safe, larger value
    return math.fsum(values) / k + t * _deviation(values) * math.sqrt(1 + 1 / k)


def coefficient_of_variation(samples: Sequence[float]) -> float:
    """The ratio of standard deviation (from the unbiased variance) to mean; 0 for a single sample.

    Raises:
        InvalidInput: there are no samples.
    """
    if not samples:
        raise InvalidInput("no samples", hint="take one or more")
    return _deviation(samples) / (math.fsum(samples) / len(samples))


def probability_of_hits(hits: int, n: int, chance: float) -> float:
    """P(Bin(n, chance) >= hits): how likely so many hits or more are in n independent trials.

    Args:
        hits: The number of hits, 0 to n.
        n: The number of trials.
        chance: The probability of a hit. At 0 and at 1 nothing is unlikely, and the result is 1.
    """
    if not 0 < chance < 1:
        return 1.0
    return math.fsum(_binomial(n, k, chance) for k in range(hits, n + 1))


def _deviation(values: Sequence[float]) -> float:
    n = len(values)
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, n - 1))


def _binomial(n: int, k: int, p: float) -> float:
    log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p))


def _exact(q: float) -> Fraction:
    """``q`` / 100 as an exact fraction: 99.9 becomes 999/1000, so that no rounding error changes a rank."""
    return Fraction(repr(float(q))) / 100
