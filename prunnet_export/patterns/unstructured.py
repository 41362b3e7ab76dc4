"""The ``unstructured`` pattern: each layer keeps its highest-scored weights, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from prunnet_export.network._prunable import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity


class MaskedSubnetwork(Subnetwork):
    """A subnetwork with zeros in place: W becomes M * W and keeps its shape."""

    def __init__(self, network: PrunableNetwork, pattern: str, asked: float, masks: Mapping[str, Tensor]) -> None:
        self.pattern = pattern
        self.asked = asked
        self.structure = network.embedder
        self._masks = dict(masks)
        self.kept = sum(int(mask.sum()) for mask in masks.values())
        self.total = sum(mask.numel() for mask in masks.values())

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return {
            name: tensor * self._masks[name] if name in self._masks else tensor.clone()
            for name, tensor in tensors.items()
        }

    def scatter(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return {name: gradient * self._masks[name] for name, gradient in gradients.items()}

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return dict(self._masks)

    def widths(self) -> None:
        """None: no tensor changes its shape."""


class Unstructured(Pattern):
    """M = 1[|S| >= tau] with tau the k-th smallest |S| of the layer, k = 1 + round((1 - c)(n - 1)).

    The ratio is the same in every layer; ties are kept. PrunNet, section 3.
    """

    name: ClassVar[str] = "unstructured"

    def subnetworks(
        self, network: PrunableNetwork, capacities: Sequence[float], *, channel_multiple: int
    ) -> list[Subnetwork]:
        """See :class:`Pattern`; widths do not change, so ``channel_multiple`` has no effect."""
        del channel_multiple
        for capacity in capacities:
            check_capacity(capacity)
        masks: list[dict[str, Tensor]] = [{} for _ in capacities]
        for name, score in network.scores().items():
            magnitude = score.detach().abs()
            ordered = magnitude.flatten().sort().values
            for of_capacity, capacity in zip(masks, capacities, strict=True):
                below = round((1 - capacity) * (ordered.numel() - 1))
                of_capacity[name] = (
                    torch.ones_like(magnitude, dtype=torch.bool) if capacity == 1 else magnitude >= ordered[below]
                )
        return [
            MaskedSubnetwork(network, self.name, capacity, of_capacity)
            for capacity, of_capacity in zip(capacities, masks, strict=True)
        ]
