"""Where a ranking is cut: the lowest value that stays, for several capacities at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunnet_export.patterns._base import check_capacity


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
    ordered = _in_place(values.numpy().copy(), ranks) if values.device.type == "cpu" else values.sort().values
    return [ordered[rank] for rank in ranks]


def _in_place(values: npt.NDArray[np.floating], ranks: Sequence[int]) -> Tensor:
    """The values in an order where those at the ranks are where sorting puts them."""
    # numpy selects one rank with vector instructions, many times as fast as torch sorts; several at once it does not.
    first = 0
    for rank in sorted(set(ranks)):
        values[first:].partition(rank - first)
        first = rank + 1
    return torch.from_numpy(values)
