"""The ``block`` pattern: weights are dropped in blocks of four neighbouring outputs."""

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

    A block is 4 consecutive output channels at one input channel and kernel position; in a linear layer it is 4
    consecutive rows at one column. If 4 does not divide the outputs, the last blocks are smaller. n is the number of
    blocks. The ratio is the same in every layer. Ties are kept.

    The shape is that of MNN's sparse kernels. These do not support grouped and depthwise convolutions, which stay
    dense; a network with such layers keeps more than the requested capacity.
    """

    name: ClassVar[str] = "block"

    def subnetworks(self, network: PrunableNetwork, capacities: Sequence[float]) -> list[Subnetwork]:
        """See :class:`Pattern`."""
        masks: list[dict[str, Tensor]] = [{} for _ in capacities]
        for name, magnitude in ungrouped_scores(network).items():
            blocks = _block_means(magnitude)
            for layer_masks, tau in zip(masks, thresholds(blocks.flatten(), capacities), strict=True):
                layer_masks[name] = (blocks >= tau).repeat_interleave(HEIGHT, dim=0)[: len(magnitude)]
        if not all(masks):
            raise UnsupportedPattern("every layer of this backbone is grouped", hint="use --pattern unstructured")
        return [
            MaskedSubnetwork(network, self.name, capacity, layer_masks)
            for capacity, layer_masks in zip(capacities, masks, strict=True)
        ]


def _block_means(magnitude: Tensor) -> Tensor:
    """The mean of each block, [ceil(K / 4), C, ...], for magnitudes [K, C, ...]."""
    whole = len(magnitude) // HEIGHT
    means = magnitude[: whole * HEIGHT].reshape(whole, HEIGHT, *magnitude.shape[1:]).mean(1)
    rest = magnitude[whole * HEIGHT :]
    return torch.cat([means, rest.mean(0, keepdim=True)]) if len(rest) else means
