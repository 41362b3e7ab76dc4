"""Subnetworks whose zeros lie among the weights that stay."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunnet_export.network._prunable import PrunableNetwork
from prunnet_export.patterns._base import Subnetwork


class MaskedSubnetwork(Subnetwork):
    """A subnetwork with zeros in place: W becomes M * W and keeps its shape.

    Args:
        network: The prunable network.
        pattern: Name of the pattern.
        asked: The capacity that was asked for.
        masks: M by the weight's name, bool at its shape; layers without one stay dense.
    """

    def __init__(self, network: PrunableNetwork, pattern: str, asked: float, masks: Mapping[str, Tensor]) -> None:
        self.pattern = pattern
        self.asked = asked
        self.structure = network.embedder
        self._masks = {
            name: masks[name] if name in masks else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in network.prunable_weights().items()
        }
        self.kept = sum(int(mask.sum()) for mask in self._masks.values())
        self.total = sum(mask.numel() for mask in self._masks.values())

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return {
            name: tensor * self._masks[name] if name in self._masks else tensor.clone()
            for name, tensor in tensors.items()
        }

    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """See :class:`Subnetwork`."""
        for name, gradient in gradients.items():
            out[name].addcmul_(gradient, self._masks[name].to(gradient.dtype))

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return dict(self._masks)

    def widths(self) -> None:
        """None: no tensor changes its shape."""


def ungrouped_scores(network: PrunableNetwork) -> dict[str, Tensor]:
    """|S| of each layer whose outputs all read the same inputs: no grouped and no depthwise convolution."""

    def grouped(name: str) -> bool:
        layer = network.embedder.get_submodule(name.removesuffix(".weight"))
        return isinstance(layer, nn.Conv2d) and layer.groups > 1

    return {name: score.detach().abs() for name, score in network.scores().items() if not grouped(name)}
