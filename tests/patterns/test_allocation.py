"""Widths for weights that exist: ranks, nested cuts, costs, and the first order of the units."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import allocate, find_pattern, materialise
from prunnet_export.patterns._allocation import _unit_costs
from prunnet_export.patterns._effects import squared_effects
from prunnet_export.patterns._plan import ChannelPlan
from prunnet_export.patterns.channel import Channel
from tests._asserts import assert_nested, assert_one_line, assert_same_tensors
from tests._inputs import images, prunable, tiny_resnet

INNER, READER = "backbone.layer3.0.conv1", "backbone.layer3.0.conv2.weight"


@cache
def allocated() -> PrunableNetwork:
    network = tiny_resnet()
    allocate(network, [images(16, 32)])
    return network


def widths_of(network: PrunableNetwork, capacity: float, multiple: int = 1) -> dict[str, int]:
    plan = Channel().plan(network)
    return dict(zip([group.name for group in plan.groups], Channel(multiple).widths(network, capacity), strict=True))


def test_ranks_order_all_units() -> None:
    network = allocated()
    ranks = network.ranks()
    assert {name: len(one) for name, one in ranks.items()} == widths_of(network, 1)
    assert torch.equal(torch.cat(list(ranks.values())).sort().values, torch.arange(sum(widths_of(network, 1).values())))
    assert all(one.dtype == torch.int32 and bool((one.diff() > 0).all()) for one in ranks.values())


@settings(max_examples=30)
@given(st.floats(0.1, 1), st.floats(0.1, 1), st.sampled_from([1, 2, 4]))
def test_nested_at_any_two_capacities(one: float, other: float, multiple: int) -> None:
    pair = [max(one, other), min(one, other)]
    wider, narrower = Channel(multiple).subnetworks(allocated(), pair)
    assert_nested(wider.masks(), narrower.masks())
    for chosen, capacity in zip((wider, narrower), pair, strict=True):
        assert chosen.capacity <= capacity
        for name, width in (chosen.widths() or {}).items():
            assert width % multiple == 0 or width == widths_of(allocated(), 1)[name]


def test_groups_become_narrower_in_different_degrees() -> None:
    uniform, ours = widths_of(tiny_resnet(), 0.5), widths_of(allocated(), 0.5)
    assert len({round(uniform[name] / full, 1) for name, full in widths_of(allocated(), 1).items()}) <= 2
    assert len({round(ours[name] / full, 1) for name, full in widths_of(allocated(), 1).items()}) > 4


def test_units_that_nothing_reads_go_first() -> None:
    network = tiny_resnet()
    with torch.no_grad():
        network.embedder.get_parameter(READER)[:, ::2] = 0
    plan = Channel().plan(network)
    effects = squared_effects(network.embedder, plan.groups, [images(16, 32)])
    allocate(network, [images(16, 32)])
    with_effect = sum(int((effect > 0).sum()) for effect in effects)
    half = widths_of(network, 1)[INNER] // 2
    assert int(network.ranks()[INNER][half:].min()) >= with_effect
    [cut] = Channel(1).subnetworks(network, [0.7])
    kept = cut.masks()[READER].flatten(2).any(2).any(0).nonzero().flatten()
    assert 0 < len(kept) <= half
    assert bool((kept % 2 == 1).all())


def test_the_scores_begin_in_the_order_of_the_effects() -> None:
    network, plan = allocated(), Channel().plan(allocated())
    effects = squared_effects(network.embedder, plan.groups, [images(16, 32)])
    for effect, importance in zip(effects, plan.importance(network.scores()), strict=True):
        assert torch.equal(effect.argsort(), importance.argsort())
    assert all(bool(score.isfinite().all()) for score in network.scores().values())


def test_a_unit_costs_what_a_cut_without_it_saves() -> None:
    network = prunable("mobilenetv2_100", crop=64)
    plan = Channel().plan(network)
    multiplications = multiplications_of(network.embedder)
    for index, cost in enumerate(_unit_costs(network, plan)):
        widths = tuple(units - (place == index) for place, units in enumerate(plan.full))
        weights = 1 - plan.weights_kept(widths) / plan.weights_total
        saved = 1 - multiplications_of(plan.structure(widths)) / multiplications
        assert cost == pytest.approx(weights + saved, rel=1e-6)


@torch.no_grad()
def multiplications_of(module: nn.Module) -> int:
    """The multiplications of the convolutions for an image of 64 px."""
    counts: list[int] = []
    handles = [
        one.register_forward_hook(
            lambda layer, _inputs, output: counts.append(output[0, 0].numel() * layer.weight.numel())
        )
        for one in module.modules()
        if isinstance(one, nn.Conv2d)
    ]
    module.eval()(torch.zeros(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    return sum(counts)


def test_without_images_the_scores_stay() -> None:
    network = tiny_resnet()
    before = {name: score.detach().clone() for name, score in network.scores().items()}
    allocate(network, [])
    assert_same_tensors({name: score.detach() for name, score in network.scores().items()}, before)
    assert network.ranks().keys() == allocated().ranks().keys()


def test_other_ranks_are_used_at_once() -> None:
    """A run that is resumed reads its ranks after the first cut was made."""
    network = tiny_resnet()
    uniform = widths_of(network, 0.5)
    network.allocate(allocated().ranks())
    assert widths_of(network, 0.5) == widths_of(allocated(), 0.5) != uniform
    network.allocate({})
    assert widths_of(network, 0.5) == uniform


def test_channels_and_zeros_use_the_ranks_too() -> None:
    [cut] = find_pattern("channel+2:4", 4).subnetworks(allocated(), [0.2])
    widths = cut.widths() or {}
    assert len({round(width / full, 1) for width, full in zip(widths.values(), ratios(), strict=True)}) > 2
    materialise(allocated(), cut)(images(2, 32))


def ratios() -> list[int]:
    return list(widths_of(allocated(), 1).values())


def refused(ranks: dict[str, torch.Tensor], match: str) -> None:
    network = tiny_resnet()
    network.allocate(ranks)
    with pytest.raises(InvalidInput, match=match) as raised:
        Channel().widths(network, 0.5)
    assert_one_line(raised.value)


def test_ranks_that_do_not_fit_are_refused() -> None:
    ranks = allocated().ranks()
    refused({name: one for name, one in ranks.items() if name != INNER}, "of other channel groups")
    refused({**ranks, INNER: ranks[INNER][1:]}, "of other channel groups")
    refused({**ranks, INNER: ranks[INNER].flip(0)}, "do not ascend")


def test_a_plan_compares_ranks_by_their_values() -> None:
    plan: ChannelPlan = Channel().plan(allocated())
    copies = {name: one.clone() for name, one in allocated().ranks().items()}
    assert plan.widths_for(0.4, 8, copies) is plan.widths_for(0.4, 8, allocated().ranks())
