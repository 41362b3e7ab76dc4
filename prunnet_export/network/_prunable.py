"""The prunable network: a dense embedder with a learned importance score beside each prunable weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from prunnet_export._errors import UnsupportedPattern
from prunnet_export.network._embedder import Embedder

_RANKS = "_ranks."
_STORED_RANKS = f"{_RANKS}backbone/"  # begins the names of the ranks in a network's state


class PrunableNetwork(nn.Module):
    """An embedder, and one set of scores for every pattern and capacity.

    The weight of every convolution and linear layer of the backbone has scores. Norms, tokens and the projector have
    none, and all subnetworks share them (PrunNet, section 3).

    Args:
        embedder: The dense network. It is not copied.
        size: Height and width of the input image, pixels; the network's structure is traced with it.
        seed: Seed of ``random`` scores.
        scores: How scores start. ``random``: S ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), independent of the weights.
            ``weights``, for weights that were trained before: see :func:`scores_from`.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        size: tuple[int, int],
        seed: int = 0,
        scores: Literal["random", "weights"] = "random",
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.size = size
        generator = torch.Generator().manual_seed(seed)
        self._scores = nn.ParameterDict()
        for name, weight in self.prunable_weights().items():
            score = _random_scores(weight, generator) if scores == "random" else scores_from(weight)
            self._scores[_key(name)] = nn.Parameter(score)
        if not self._scores:
            raise UnsupportedPattern(
                "the backbone has no convolution and no linear layer", hint="nothing can be pruned"
            )
        self._ranks = nn.Module()

    def prunable_weights(self) -> dict[str, nn.Parameter]:
        """The weights that have scores, by their name in the embedder, in the order of the modules."""
        return {
            f"backbone.{name}.weight": module.get_parameter("weight")
            for name, module in self.embedder.backbone.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        }

    def scores(self) -> dict[str, nn.Parameter]:
        """The scores of each prunable weight, of its shape, by its name in the embedder."""
        return {name: self._scores[_key(name)] for name in self.prunable_weights()}

    def unit_ranks(self) -> dict[str, Tensor]:
        """The order in which ``channel`` cuts drop units, by the name of the channel group: int32 [units], ascending.

        Number k of a group is the rank of its k-th best unit among the units of all groups, from 0. Units of low rank
        are kept longest. Without any ranks all groups become narrower by the same ratio.
        """
        return {_name(key): ranks for key, ranks in self._ranks.named_buffers()}

    def set_unit_ranks(self, ranks: Mapping[str, Tensor]) -> None:
        """Replace the :meth:`unit_ranks`. They are checked at the next cut.

        Args:
            ranks: The ranks of every channel group, as :meth:`unit_ranks` returns them. They are copied to the device
                of the network. Without any, all groups become narrower by the same ratio.
        """
        device = next(self.parameters()).device
        self._ranks = nn.Module()
        for name, one in ranks.items():
            self._ranks.register_buffer(_key(name), one.detach().clone().to(device))

    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers of the embedder, detached, by name."""
        named = [*self.embedder.named_parameters(), *self.embedder.named_buffers()]
        return {name: tensor.detach() for name, tensor in named}

    def forward(self, images: Tensor) -> Tensor:
        """The dense, un-normalised embedding float32 [b, dim]."""
        embedding: Tensor = self.embedder(images)
        return embedding


def fan_in(weight: Tensor) -> int:
    """The number of inputs that one output of a convolution or linear weight [out, in, ...] sums over."""
    return max(1, weight[0].numel())


def scores_from(weight: Tensor) -> Tensor:
    """Scores for a trained weight, float32 of its shape: S = (W - mean(W)) / std(W) * sqrt(2 / fan_in).

    Masks rank |S|, so what lies far from the mean of its tensor is kept first. The mean of a trained weight is near 0,
    so this is nearly its magnitude, on a scale that all layers share. The sign of S is without meaning: the gradient of
    a score is sign(S) W G, with the gradient G of the weight, so a step changes |S| by -rate W G whatever the sign. |S|
    rises where the step also makes |W| larger.

    A weight of equal values has no spread. Its scores are all sqrt(2 / fan_in), because a score of 0 would stay at 0.
    """
    values = weight.detach().double()  # squares of float32 values may underflow
    centred = values - values.mean()
    spread = centred.square().mean().sqrt()
    standardised = centred / spread if values.max() > values.min() else torch.ones_like(values)
    return (standardised * math.sqrt(2 / fan_in(weight))).float()


def ranks_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Ranks of 0 for :meth:`PrunableNetwork.set_unit_ranks`, of the shapes that a network's state has.

    Args:
        tensors: The state of a network, or of something else.
    """
    names = [name for name in tensors if name.startswith(_STORED_RANKS)]
    return {_name(name.removeprefix(_RANKS)): torch.zeros(tensors[name].shape, dtype=torch.int32) for name in names}


def _random_scores(weight: Tensor, generator: torch.Generator) -> Tensor:
    bound = 1 / math.sqrt(fan_in(weight))
    return (torch.rand(weight.shape, generator=generator) * 2 - 1) * bound


def _key(name: str) -> str:
    return name.replace(".", "/")  # torch refuses dots in names


def _name(key: str) -> str:
    return key.replace("/", ".")
