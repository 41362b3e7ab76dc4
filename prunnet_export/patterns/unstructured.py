"""The ``unstructured`` pattern: each layer keeps the weights with the highest scores, at any position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork
from prunnet_export.patterns._masked import MaskedSubnetwork
from prunnet_export.patterns._thresholds import thresholds


class Unstructured(Pattern):
    """M = 1[|S| >= tau] with tau the k-th smallest |S| of the layer, k = 1 + round((1 - c)(n - 1)).

    The ratio is the same in every layer. Ties are kept. The source is PrunNet, section 3.
    """

    name: ClassVar[str] = "unstructured"

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        masks: list[dict[str, Tensor]] = [{} for _ in capacities]
        for name, score in network.scores().items():
            magnitude = score.detach().abs()
            for layer_masks, tau in zip(masks, thresholds(magnitude.flatten(), capacities), strict=True):
                layer_masks[name] = magnitude >= tau
        return [
            MaskedSubnetwork(network, self.name, capacity, layer_masks)
            for capacity, layer_masks in zip(capacities, masks, strict=True)
        ]
