"""The ``n:m`` patterns, as ``2:4``: of each m neighbouring inputs every output keeps n."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._masked import MaskedSubnetwork, ungrouped_scores

LONGEST_RUN = 16


class NM(Pattern):
    """In each aligned run of m input channels the n weights of highest |S| stay; of equal scores the lower index.

    Runs lie along dim 1 of a weight [K, C, R, S] or [K, C], for every output k and kernel position r, s. A layer
    takes part where it is not grouped and m divides C: neither a depthwise convolution nor, at m = 4, one that
    reads the image does. The others stay dense, so that somewhat more than n / m of a network is kept.

    The shape fixes the share: there is one subnetwork besides the dense network. Source of 2:4: Mishra et al.,
    "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378.

    Args:
        n: Weights that stay in a run, 0 < n < m.
        m: Length of a run.
    """

    def __init__(self, n: int, m: int) -> None:
        self._n, self._m = n, m
        self._share = n / m

    @property
    def name(self) -> str:
        """The pattern as it is written, e.g. ``2:4``."""
        return f"{self._n}:{self._m}"

    @classmethod
    def named(cls, name: str) -> NM | None:
        """The pattern that is written like this; None where it is none with 0 < n < m <= 16."""
        found = re.fullmatch(r"([1-9][0-9]?):([1-9][0-9]?)", name)
        if found is None:
            return None
        n, m = int(found[1]), int(found[2])
        return cls(n, m) if n < m <= LONGEST_RUN else None

    def shares(self, capacities: Sequence[float]) -> list[float]:
        """One n / m in the place of all capacities below 1."""
        for capacity in capacities:
            check_capacity(capacity)
        return list(dict.fromkeys(1.0 if capacity == 1 else self._share for capacity in capacities))

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`; every capacity is n / m or 1."""
        for capacity in capacities:
            self._check(capacity)
        masks = self.masks_of(ungrouped_scores(network))
        return [
            MaskedSubnetwork(network, self.name, 1.0, {})
            if capacity == 1
            else MaskedSubnetwork(network, self.name, self._share, masks)
            for capacity in capacities
        ]

    def masks_of(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Which weights stay, of each layer that takes part.

        Args:
            scores: |S| of layers without groups, at the weights' shapes.

        Raises:
            UnsupportedPattern: no layer takes part.
        """
        masks = {name: self._mask(one) for name, one in scores.items() if one.shape[1] % self._m == 0}
        if not masks:
            raise UnsupportedPattern(
                f"no layer of this backbone is without groups and reads a multiple of {self._m} channels",
                hint="use --pattern unstructured",
            )
        return masks

    def _check(self, capacity: float) -> None:
        check_capacity(capacity)
        # As many digits as the hint shows.
        if capacity != 1 and not math.isclose(capacity, self._share, rel_tol=1e-5):
            raise InvalidInput(
                f"pattern {self.name} keeps {self._n} of {self._m} weights and reaches no capacity of {capacity:g}",
                hint=f"ask for {self._share:g}, or for 1, the dense network",
            )

    def _mask(self, magnitude: Tensor) -> Tensor:
        runs = magnitude.reshape(len(magnitude), -1, self._m, *magnitude.shape[2:])
        best = runs.argsort(dim=2, descending=True, stable=True)[:, :, : self._n]
        return torch.zeros_like(runs, dtype=torch.bool).scatter_(2, best, value=True).flatten(1, 2)
