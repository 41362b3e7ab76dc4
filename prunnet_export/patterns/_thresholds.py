"""Thresholds: the lowest score that is kept, for several capacities at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunnet_export.patterns._base import check_capacity

_SAMPLED_FROM = 2**17  # values; with fewer a sample saves no time
_STRIDE = 64
_DEVIATIONS = 4  # standard deviations of the sample's median; every other quantile varies less


def thresholds(values: Tensor, capacities: Sequence[float]) -> list[Tensor]:
    """tau(c), the k-th smallest value with k = 1 + round((1 - c)(n - 1)), for each capacity c.

    Values of at least tau(c) are kept: all of them at c = 1, and at a smaller capacity a subset of those at a larger
    one (PrunNet, section 3).

    Args:
        values: float32 [n], n at least 1, all finite.
        capacities: Kept fractions, 0 < c <= 1.

    Raises:
        InvalidInput: a capacity is out of range.
    """
    for capacity in capacities:
        check_capacity(capacity)
    ranks = [round((1 - capacity) * (len(values) - 1)) for capacity in capacities]
    if values.device.type == "cpu":
        found = _values_at_ranks(values.numpy(), set(ranks))
        return [torch.tensor(found[rank], dtype=values.dtype) for rank in ranks]
    ordered = values.sort().values
    return [ordered[rank] for rank in ranks]


def _values_at_ranks(values: npt.NDArray[np.floating], ranks: Iterable[int]) -> dict[int, float]:
    """The value at each rank in ascending order."""
    if len(values) < _SAMPLED_FROM:
        # For one rank numpy uses vector instructions and is many times faster than torch's sort, but not for several.
        return {rank: float(np.partition(values, rank)[rank]) for rank in ranks}
    sample = np.sort(values[::_STRIDE])
    return {rank: _value_at_rank(values, rank, *_bracket(sample, rank / len(values))) for rank in ranks}


def _bracket(sample: npt.NDArray[np.floating], fraction: float) -> tuple[float, float]:
    """Two values with the quantile between them, very likely, from a sorted sample (Floyd and Rivest, 1975)."""
    position, margin = fraction * len(sample), _DEVIATIONS * 0.5 * np.sqrt(len(sample))
    low, high = int(position - margin), int(position + margin) + 1
    return (float(sample[low]) if low >= 0 else -np.inf), (float(sample[high]) if high < len(sample) else np.inf)


def _value_at_rank(values: npt.NDArray[np.floating], rank: int, low: float, high: float) -> float:
    """The value at a rank; only the values in low..high are searched if it is among them."""
    inside = values >= low
    below = len(values) - int(np.count_nonzero(inside))
    inside &= values <= high
    few = values[inside]
    if below <= rank < below + len(few):
        values, rank = few, rank - below
    return float(np.partition(values, rank)[rank])
