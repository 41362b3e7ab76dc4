"""The forward pass of a subnetwork at the dense size, from its masks alone: slow, and independent of the cut."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork


def masked_embedder(network: PrunableNetwork, subnetwork: Subnetwork) -> nn.Module:
    """The dense embedder in which everything that the subnetwork dropped has no effect.

    Dropped weights are 0. A dropped channel may still carry a constant (a bias, a norm's shift, a token), and
    nothing may see it: scored layers do not, because their weights on it are 0; the projector's are set to 0
    here, and LayerNorms take their statistics over the kept channels.

    Which channels a norm sees is read off the masks: those that the next scored layer reads or, after the last
    one, those that it writes.
    """
    masks = subnetwork.masks()
    embedder = deepcopy(network.embedder).eval()
    kept: dict[str, Tensor] = {}  # of each LayerNorm and of the projector
    waiting: list[str] = []
    written: Tensor | None = None
    for name, module in embedder.named_modules():
        mask = masks.get(f"{name}.weight")
        if mask is not None:
            read = _reads(module, mask)
            kept |= dict.fromkeys(waiting, read)
            waiting = []
            written = mask.flatten(1).any(1)
            _zero(module, mask)
        elif isinstance(module, nn.LayerNorm):
            waiting.append(name)
    assert written is not None
    kept |= dict.fromkeys(waiting, written)
    for name, channels in kept.items():
        _restrict(embedder.get_submodule(name), channels)
    with torch.no_grad():
        embedder.projector.weight[:, ~written] = 0
    return embedder


def _reads(module: nn.Module, mask: Tensor) -> Tensor:
    depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
    return mask.flatten(1).any(1) if depthwise else mask.transpose(0, 1).flatten(1).any(1)


def _zero(module: nn.Module, mask: Tensor) -> None:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    with torch.no_grad():
        module.weight *= mask


def _restrict(norm: nn.Module, channels: Tensor) -> None:
    """Let a LayerNorm see these channels only, wherever they lie."""
    assert isinstance(norm, nn.LayerNorm)
    channels_first = "2d" in type(norm).__name__
    weight, bias, eps = norm.weight, norm.bias, norm.eps

    def forward(x: Tensor) -> Tensor:
        x = x.movedim(1, -1) if channels_first else x
        seen = x[..., channels]
        mean, variance = seen.mean(-1, keepdim=True), seen.var(-1, correction=0, keepdim=True)
        x = (x - mean) / (variance + eps).sqrt() * weight + bias
        return x.movedim(-1, 1) if channels_first else x

    norm.forward = forward  # type: ignore[method-assign,assignment]  # the point: the same module, another sum
