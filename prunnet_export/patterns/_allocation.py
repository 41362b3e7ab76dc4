"""Widths of channel cuts: which units, in whatever layer they are, a cut drops first.

Random weights say nothing about which channel is needed. There only the costs of the channels decide. With weights that
exist, the effects of the channels decide too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns._costs import unit_costs
from prunnet_export.patterns._effects import squared_effects
from prunnet_export.patterns._groups import ChannelGroup
from prunnet_export.patterns._plan import ChannelPlan
from prunnet_export.patterns.channel import Channel

_BATCHES = 5  # of about 100 images
_ROUNDS = 40
_FEATURE_EXPONENT = 0.7
_SPREAD = 0.5  # a group's scores are scaled to between 1 - this and 1 + this times their mean


def allocate_by_cost(network: PrunableNetwork, *, rank: int, smallest: float, multiple: int = 8) -> None:
    """Give the ``channel`` cuts of a network with random weights their widths: cheap groups stay wider.

    The *cost* of a group is its share of the prunable weights plus its share of the multiplications. A group of cost c
    keeps the ratio r^sqrt(c / the largest cost) of its units, with the same r for all groups.

    An embedding has at most as many independent numbers as the projector reads features. If the smallest cut would
    keep fewer features than the embedding needs, the features stay wider: their exponent is 0.7 times this.

    Args:
        network: The network. Its ranks change; see :meth:`PrunableNetwork.set_unit_ranks`.
        rank: How many independent numbers the embedding needs, at least 1.
        smallest: The smallest capacity that is trained. Below the narrowest cut it counts as that one.
        multiple: Kept widths are multiples of this many channels.

    Raises:
        UnsupportedPattern: no channel can be cut.
    """
    channel = Channel(multiple)
    plan = channel.plan(network)
    costs = [cost * group.units for cost, group in zip(unit_costs(network, plan), plan.groups, strict=True)]
    exponents = [math.sqrt(cost / max(costs)) for cost in costs]
    _rank_by_exponents(network, plan, exponents)
    [widths] = channel.widths(network, [max(smallest, plan.narrowest(multiple))])
    features = [_is_read_by_projector(group) for group in plan.groups]
    kept = sum(
        width * group.unit_width for width, group, read in zip(widths, plan.groups, features, strict=True) if read
    )
    if kept < rank:
        factors = [_FEATURE_EXPONENT if read else 1 for read in features]
        _rank_by_exponents(network, plan, [one * factor for one, factor in zip(exponents, factors, strict=True)])


def _rank_by_exponents(network: PrunableNetwork, plan: ChannelPlan, exponents: Sequence[float]) -> None:
    """Set the ranks with which each group keeps the ratio r^exponent of its units, with the same r for all groups."""
    # The logarithm of the ratio r at which half of the unit is kept; the ratio itself could underflow to 0.
    _rank(
        network,
        plan,
        [
            -((torch.arange(group.units, dtype=torch.float64) + 0.5) / group.units).log() / exponent
            for group, exponent in zip(plan.groups, exponents, strict=True)
        ],
    )


def _is_read_by_projector(group: ChannelGroup) -> bool:
    return any(axis.tensor == "projector.weight" for axis in group.axes)


def allocate(network: PrunableNetwork, batches: Iterable[Tensor], *, seed: int = 0) -> None:
    """Give the ``channel`` cuts of a network with trained weights their widths, and the units their first order.

    All units of all groups are ranked together (global pruning) by their effect on the embedding
    (:func:`squared_effects`), divided by their cost: the share of the prunable weights plus the share of the
    multiplications. A cut keeps the first ones, so groups become narrower in different degrees. Afterwards the ranks
    stay, and training changes which units of a group are kept.

    The scores of each unit are scaled, so that inside a group the units with the largest effect are kept first.

    Args:
        network: The network. Its ranks and scores change. If no unit has an effect, nothing changes.
        batches: Images float32 [b, 3, h, w] in 0..1. Only the first five batches are used.
        seed: Seed of the estimate.

    Raises:
        UnsupportedPattern: no channel can be cut.
    """
    plan = Channel().plan(network)
    effects = squared_effects(network.embedder, plan.groups, islice(batches, _BATCHES), seed=seed)
    if not any(bool(effect.any()) for effect in effects):
        return
    costs = unit_costs(network, plan)
    pairs = zip(effects, costs, strict=True)
    _rank(network, plan, [effect.sort(descending=True).values / cost for effect, cost in pairs])
    _order_units(network, plan, effects)


def _rank(network: PrunableNetwork, plan: ChannelPlan, values: Sequence[Tensor]) -> None:
    """Set the ranks of units of descending values, [units] for each group."""
    order = torch.cat(list(values)).argsort(descending=True, stable=True)
    ranks = torch.empty(len(order), dtype=torch.int32)
    ranks[order] = torch.arange(len(order), dtype=torch.int32)
    parts = torch.split(ranks, [group.units for group in plan.groups])
    network.set_unit_ranks({group.name: part for group, part in zip(plan.groups, parts, strict=True)})


def _order_units(network: PrunableNetwork, plan: ChannelPlan, effects: Sequence[Tensor]) -> None:
    """Scale the scores until each group's units rank by their effects.

    The scores are spread evenly, because effects differ by many orders of magnitude. A unit that is far behind could
    never catch up in training.

    A weight belongs to a unit of its inputs and to one of its outputs. So the scaling is repeated, as in matrix
    balancing, with half of the wanted factor for each of the two.
    """
    scores = network.scores()
    wanted = [1 - _SPREAD + 2 * _SPREAD * _relative_rank(effect) for effect in effects]
    for _ in range(_ROUNDS):
        for group, target, mean in zip(plan.groups, wanted, plan.importance(scores), strict=True):
            factor = (mean.mean() * target / mean.clamp(min=torch.finfo(mean.dtype).tiny)).sqrt()
            for axis in group.axes:
                if axis.tensor in scores:
                    _scale(scores[axis.tensor], axis.dim, axis.positions, factor)


def _relative_rank(effect: Tensor) -> Tensor:
    """The place of each unit in its group, float32 [units]: 0 for the smallest effect, 1 for the largest."""
    if len(effect) == 1:
        return torch.full((1,), 0.5)  # so that the only unit keeps its scores
    return effect.argsort().argsort().float() / (len(effect) - 1)


def _scale(score: Tensor, dim: int, positions: Tensor, factor: Tensor) -> None:
    """Multiply the scores of each unit by its factor, in place."""
    factors = torch.ones(score.shape[dim])
    factors[positions] = factor[:, None].expand(positions.shape)
    shape = [-1 if axis == dim else 1 for axis in range(score.ndim)]
    with torch.no_grad():
        score.mul_(factors.view(shape).to(score.device))
