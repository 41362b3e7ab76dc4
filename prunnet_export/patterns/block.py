"""The ``block`` pattern: four neighbouring outputs of a layer lose the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from prunnet_export._errors import UnsupportedPattern
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._base import Pattern, Subnetwork
from prunnet_export.patterns._masked import MaskedSubnetwork, ungrouped_scores
from prunnet_export.patterns._thresholds import thresholds

HEIGHT = 4


class Block(Pattern):
    """M = 1[b >= tau], b the mean |S| of a block, tau the k-th smallest b of the layer, k = 1 + round((1 - c)(n - 1)).

    A block is 4 consecutive output channels at one input channel and kernel position, of a linear layer 4
    consecutive rows at one column; where 4 does not divide the outputs, the last blocks are smaller. n counts
    blocks. The ratio is the same in every layer; ties are kept.

    Grouped and depthwise convolutions stay dense, as MNN's sparse kernels, which this shape is for, take none of
    them; a network that has some keeps more than was asked for.
    """

    name: ClassVar[str] = "block"

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        masks: list[dict[str, Tensor]] = [{} for _ in capacities]
        for name, magnitude in ungrouped_scores(network).items():
            blocks = _block_means(magnitude)
            for of_capacity, least in zip(masks, thresholds(blocks.flatten(), capacities), strict=True):
                of_capacity[name] = (blocks >= least).repeat_interleave(HEIGHT, dim=0)[: len(magnitude)]
        if not all(masks):
            raise UnsupportedPattern("every layer of this backbone is grouped", hint="use --pattern unstructured")
        return [
            MaskedSubnetwork(network, self.name, capacity, of_capacity)
            for capacity, of_capacity in zip(capacities, masks, strict=True)
        ]


def _block_means(magnitude: Tensor) -> Tensor:
    """The mean of each block, [ceil(K / 4), C, ...] of [K, C, ...]."""
    whole = len(magnitude) // HEIGHT
    means = magnitude[: whole * HEIGHT].reshape(whole, HEIGHT, *magnitude.shape[1:]).mean(1)
    rest = magnitude[whole * HEIGHT :]
    return torch.cat([means, rest.mean(0, keepdim=True)]) if len(rest) else means
