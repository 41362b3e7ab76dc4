"""Where a ranking is cut: the lowest value that stays, for several capacities at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunnet_export.patterns._base import check_capacity

_MANY = 2**17  # of fewer a sample saves no time
_STRIDE = 64
_DEVIATIONS = 4  # standard deviations of a sample's median, that of all quantiles which varies most


def thresholds(values: Tensor, capacities: Sequence[float]) -> list[Tensor]:
    """tau(c), the k-th smallest value with k = 1 + round((1 - c)(n - 1)), for each capacity c.

    What is at least tau(c) stays: everything at c = 1, and at any smaller one a subset of what stays at a larger.
    PrunNet, section 3.

    Args:
        values: float32 [n], n at least 1, all finite.
        capacities: Kept fractions, 0 < c <= 1.

    Returns:
        A scalar for each capacity.

    Raises:
        InvalidInput: a capacity is out of range.
    """
    for capacity in capacities:
        check_capacity(capacity)
    ranks = [round((1 - capacity) * (len(values) - 1)) for capacity in capacities]
    if values.device.type == "cpu":
        found = _smallest(values.numpy(), set(ranks))
        return [torch.tensor(found[rank], dtype=values.dtype) for rank in ranks]
    ordered = values.sort().values
    return [ordered[rank] for rank in ranks]


def _smallest(values: npt.NDArray[np.floating], ranks: Iterable[int]) -> dict[int, float]:
    """The value at each rank in ascending order."""
    if len(values) < _MANY:
        # numpy selects one rank with vector instructions, many times as fast as torch sorts; not so several at once.
        return {rank: float(np.partition(values, rank)[rank]) for rank in ranks}
    sample = np.sort(values[::_STRIDE])
    return {rank: _between(values, rank, *_bracket(sample, rank / len(values))) for rank in ranks}


def _bracket(sample: npt.NDArray[np.floating], fraction: float) -> tuple[float, float]:
    """Two values that a quantile most likely lies between, from a sorted sample (Floyd and Rivest, 1975)."""
    place, room = fraction * len(sample), _DEVIATIONS * 0.5 * np.sqrt(len(sample))
    low, high = int(place - room), int(place + room) + 1
    return (float(sample[low]) if low >= 0 else -np.inf), (float(sample[high]) if high < len(sample) else np.inf)


def _between(values: npt.NDArray[np.floating], rank: int, low: float, high: float) -> float:
    """The value at a rank, sought between two values first."""
    among = values >= low
    below = len(values) - int(np.count_nonzero(among))
    among &= values <= high
    few = values[among]
    if below <= rank < below + len(few):
        values, rank = few, rank - below
    return float(np.partition(values, rank)[rank])
