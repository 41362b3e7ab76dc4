"""Subnetworks with zeros in place of the dropped weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Subnetwork


class MaskedSubnetwork(Subnetwork):
    """A subnetwork with zeros in place: each weight W becomes M * W and keeps its shape.

    ``masks`` maps the name of a weight to its M, bool, of its shape. Layers without a mask stay dense.
    """

    def __init__(self, network: PrunableNetwork, pattern: str, asked: float, masks: Mapping[str, Tensor]) -> None:
        self.pattern = pattern
        self.asked = asked
        self.structure = network.embedder
        self._masks = {
            name: masks[name] if name in masks else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in network.prunable_weights().items()
        }
        self.kept = sum(int(torch.count_nonzero(mask)) for mask in self._masks.values())
        self.total = sum(mask.numel() for mask in self._masks.values())

    def gather(self, tensors: Mapping[str, Tensor], into: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        gathered = {name: tensor.clone() for name, tensor in tensors.items() if name not in self._masks}
        for name, mask in self._masks.items():
            if name in tensors:
                out = torch.empty_like(tensors[name]) if into is None else into[name]
                gathered[name] = _multiply(mask, tensors[name], out)
        return gathered

    def scatter(self, gradients: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """See :class:`Subnetwork`."""
        for name, gradient in gradients.items():
            _multiply(self._masks[name], gradient, out[name])

    def masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return dict(self._masks)

    def cut_masks(self) -> dict[str, Tensor]:
        """See :class:`Subnetwork`."""
        return dict(self._masks)

    def widths(self) -> None:
        """None, because no tensor changes its shape."""


def _multiply(mask: Tensor, values: Tensor, out: Tensor) -> Tensor:
    # `mask * values` would allocate a float copy of the mask, which costs more time than the product.
    return out.copy_(mask).mul_(values)


def ungrouped_scores(network: PrunableNetwork) -> dict[str, Tensor]:
    """|S| of each layer that is no grouped or depthwise convolution."""

    def grouped(name: str) -> bool:
        layer = network.embedder.get_submodule(name.removesuffix(".weight"))
        return isinstance(layer, nn.Conv2d) and layer.groups > 1

    return {name: score.detach().abs() for name, score in network.scores().items() if not grouped(name)}
