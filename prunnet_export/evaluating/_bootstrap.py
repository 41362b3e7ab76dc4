"""The 95 % interval of a mean over queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_RESAMPLES = 1000
_TAIL = 0.025  # on each side


def interval_of_mean(values: npt.NDArray[Any], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean (Efron and Tibshirani, 1993, chapter 13).

    The values are drawn again with replacement, 1,000 times. The interval ends at the 2.5th and the 97.5th percentile
    of the means. The same values and seed give the same interval.

    Args:
        values: Numbers [n], n >= 1, one of each query.
        seed: Seed of the draws.
    """
    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    # How often each distinct value is drawn is multinomial. So memory does not grow with the number of queries.
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=_RESAMPLES)
    means = drawn @ distinct / counts.sum()
    low, high = np.quantile(means, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
