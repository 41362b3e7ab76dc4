"""Extrapolation of a curve over the number of images: it rises ever more slowly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prunnet_export.benchmarks.plan._bootstrap import Estimate, interval, resampled_means

Values = npt.NDArray[np.float64]
_EXPONENTS = (0.25, 0.5, 1.0)  # how fast the curve becomes flat; the data do not tell it exactly
_LEAST = 3  # points


def extrapolate(sizes: Sequence[int], columns: Values, whole: int) -> Estimate:
    """The value of a saturating curve a - b / n^c at ``whole`` images.

    The curve gives the gain over the last point, which is measured. The interval has the spread over queries, over the
    exponents c, and the error that the same extrapolation makes at the last point from the points before it. With two
    points or fewer it is as wide as from the last point to 1.

    Args:
        sizes: Numbers of images, ascending.
        columns: float64 [n, k], the value of each query at each size, in 0..1.
        whole: Number of images to extrapolate to.
    """
    values, means = columns.mean(axis=0, keepdims=True), resampled_means(columns)
    if whole <= sizes[-1]:
        return Estimate(float(values[0, -1]), *interval(means[:, -1]))
    if len(sizes) < _LEAST:
        return Estimate(float(values[0, -1]), interval(means[:, -1])[0], 1.0)
    found = {exponent: float(_at(sizes, values, whole, exponent)[0]) for exponent in _EXPONENTS}
    best = min(_EXPONENTS, key=lambda exponent: _misfit(sizes, values, exponent))
    low, high = interval(np.concatenate([_at(sizes, means, whole, exponent) for exponent in _EXPONENTS]))
    slack = _error_before(sizes, values) * np.log(whole / sizes[-1]) / np.log(sizes[-1] / sizes[-2])
    return Estimate(found[best], float(max(0, low - slack)), float(min(1, high + slack)))


def _at(sizes: Sequence[int], values: Values, whole: int, exponent: float) -> Values:
    """The value [m] at ``whole`` of the curve through each row of values [m, k]."""
    gain = _slopes(sizes, values, exponent) * (sizes[-1] ** -exponent - whole**-exponent)
    found: Values = np.clip(values[:, -1] + gain, 0, 1)
    return found


def _slopes(sizes: Sequence[int], values: Values, exponent: float) -> Values:
    """The least-squares b >= 0 of a - b / n^c for each row of values."""
    x = np.asarray(sizes, np.float64) ** -exponent
    centred = x - x.mean()
    slopes: Values = np.maximum(-(values - values.mean(axis=1, keepdims=True)) @ centred / (centred @ centred), 0)
    return slopes


def _misfit(sizes: Sequence[int], values: Values, exponent: float) -> float:
    x = np.asarray(sizes, np.float64) ** -exponent
    rest = values + _slopes(sizes, values, exponent)[:, None] * x
    return float(((rest - rest.mean(axis=1, keepdims=True)) ** 2).sum())


def _error_before(sizes: Sequence[int], values: Values) -> float:
    """The mean error over the exponents if the last point is extrapolated from those before it."""
    before = [_at(sizes[:-1], values[:, :-1], sizes[-1], exponent)[0] for exponent in _EXPONENTS]
    return float(np.abs(np.array(before) - values[0, -1]).mean())
