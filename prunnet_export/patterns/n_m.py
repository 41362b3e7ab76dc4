"""The ``n:m`` patterns, e.g. ``2:4``: every output keeps n weights of each m neighbouring inputs."""

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
    """In each aligned run of m input channels the n weights with the highest |S| are kept; in a tie, the lower index.

    Runs lie along dim 1 of a weight [K, C, R, S] or [K, C], for every output k and kernel position r, s. A layer is
    pruned if it is not grouped and m divides C. So depthwise convolutions stay dense, and at m = 4 also the convolution
    that reads the image. For this reason somewhat more than n / m of a network is kept.

    The pattern has one fixed capacity, so there is one subnetwork besides the dense network. Source of 2:4: Mishra et
    al., "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378.

    Args:
        n: Weights that stay in a run, 0 < n < m.
        m: Weights in a run.
    """

    def __init__(self, n: int, m: int) -> None:
        self._n, self._m = n, m
        self._share = n / m

    @property
    def name(self) -> str:
        """See :class:`Pattern`."""
        return f"{self._n}:{self._m}"

    @classmethod
    def parse(cls, name: str) -> NM | None:
        """The pattern of this name; None if the name is no n:m with 0 < n < m <= 16."""
        found = re.fullmatch(r"([1-9][0-9]?):([1-9][0-9]?)", name)
        if found is None:
            return None
        n, m = int(found[1]), int(found[2])
        return cls(n, m) if n < m <= LONGEST_RUN else None

    def shares(self, capacities: Sequence[float]) -> list[float]:
        """See :class:`Pattern`; n / m stands for all capacities below 1."""
        for capacity in capacities:
            check_capacity(capacity)
        return list(dict.fromkeys(1.0 if capacity == 1 else self._share for capacity in capacities))

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`; each capacity must be n / m or 1."""
        for capacity in capacities:
            self._check(capacity)
        masks = self.make_masks(ungrouped_scores(network))
        return [
            MaskedSubnetwork(network, self.name, 1.0, {})
            if capacity == 1
            else MaskedSubnetwork(network, self.name, self._share, masks)
            for capacity in capacities
        ]

    def make_masks(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The masks of the layers that are pruned, from the |S| of layers without groups.

        Raises:
            UnsupportedPattern: no layer can be pruned like this.
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
        # The hint shows six digits, and these must be accepted.
        if capacity != 1 and not math.isclose(capacity, self._share, rel_tol=1e-5):
            raise InvalidInput(
                f"pattern {self.name} keeps {self._n} of {self._m} weights and reaches no capacity of {capacity:g}",
                hint=f"ask for {self._share:g}, or for 1, the dense network",
            )

    def _mask(self, magnitude: Tensor) -> Tensor:
        runs = magnitude.reshape(len(magnitude), -1, self._m, *magnitude.shape[2:])
        best = runs.argsort(dim=2, descending=True, stable=True)[:, :, : self._n]
        return torch.zeros_like(runs, dtype=torch.bool).scatter_(2, best, value=True).flatten(1, 2)
