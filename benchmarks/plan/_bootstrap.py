"""95 % intervals by the bootstrap over queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
_RESAMPLES = 500
_TAIL = 0.025  # on each side


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def over(self, divisor: float) -> Estimate:
        """The figure as a share of another one, which is taken as exact."""
        return Estimate(self.value / divisor, self.low / divisor, self.high / divisor)


def resampled_means(columns: Values) -> Values:
    """Means over queries that are drawn again with replacement; all columns share the draws.

    Args:
        columns: float64 [n, k], a row for each query.

    Returns:
        float64 [500, k].
    """
    n = len(columns)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    means: Values = counts @ columns / n
    return means


def interval(means: Values) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile."""
    low, high = np.quantile(means, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def mean_estimate(values: Values) -> Estimate:
    """The mean of the values float64 [n] of the queries, with its interval."""
    return Estimate(float(values.mean()), *interval(resampled_means(values[:, None])[:, 0]))
