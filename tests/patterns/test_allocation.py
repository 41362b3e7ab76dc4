"""Widths of channel cuts: ranks, nested cuts, costs, and the first order of the units."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import allocate, allocate_by_cost, find_pattern, materialise
from prunnet_export.patterns._costs import unit_costs
from prunnet_export.patterns._effects import squared_effects
from prunnet_export.patterns._groups import ChannelGroup
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
    [widths] = Channel(multiple).widths(network, [capacity])
    return dict(zip([group.name for group in Channel().plan(network).groups], widths, strict=True))


def test_ranks_order_all_units() -> None:
    network = allocated()
    ranks = network.unit_ranks()
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


FEW, MANY = 1, 100_000  # independent numbers that an embedding needs


@cache
def by_cost(backbone: str = "resnet18", crop: int = 64, *, rank: int = FEW) -> PrunableNetwork:
    network = prunable(backbone, crop=crop)
    allocate_by_cost(network, rank=rank, smallest=0.05)
    return network


def group_costs(network: PrunableNetwork) -> list[float]:
    plan = Channel().plan(network)
    return [cost * group.units for cost, group in zip(unit_costs(network, plan), plan.groups, strict=True)]


def features(plan: ChannelPlan) -> ChannelGroup:
    """The channels from which the projector computes the embedding."""
    [group] = [group for group in plan.groups if any(axis.tensor.startswith("projector") for axis in group.axes)]
    return group


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("capacity", [0.6, 0.2, 0.05])
@pytest.mark.parametrize("rank", [FEW, MANY])
def test_a_group_keeps_a_ratio_that_follows_from_its_cost(backbone: str, capacity: float, rank: int) -> None:
    network = by_cost(backbone, rank=rank)
    plan = Channel().plan(network)
    costs = group_costs(network)
    exponents = [
        math.sqrt(cost / max(costs)) * (0.7 if rank == MANY and group is features(plan) else 1)
        for cost, group in zip(costs, plan.groups, strict=True)
    ]
    [widths] = Channel(1).widths(network, [capacity])
    steepest = exponents.index(max(exponents))
    # Widths are whole numbers, so they say only between which two numbers the common ratio lies.
    low, high = (((widths[steepest] + off) / plan.full[steepest]) ** (1 / exponents[steepest]) for off in (-0.5, 0.5))
    for width, full, exponent in zip(widths, plan.full, exponents, strict=True):
        assert full * low**exponent - 0.5 <= width <= full * high**exponent + 0.5 or width == 1


def test_a_cheaper_group_stays_wider() -> None:
    network = by_cost()
    plan = Channel().plan(network)
    costs = group_costs(network)
    [widths] = Channel(1).widths(network, [0.3])
    ratios = [width / full for width, full in zip(widths, plan.full, strict=True)]
    assert [costs[index] for index in sorted(range(len(costs)), key=lambda one: -ratios[one])] == sorted(costs)
    assert max(ratios) > 1.5 * min(ratios)


@pytest.mark.parametrize("backbone", ["resnet18", "regnetx_002", "mobilenetv3_small_100", "vit_tiny_patch16_224"])
def test_a_network_whose_embedding_needs_many_numbers_keeps_more_features(backbone: str) -> None:
    many, few = by_cost(backbone, rank=MANY), by_cost(backbone)
    name = features(Channel().plan(many)).name
    for capacity in (0.2, 0.1, 0.05):
        assert widths_of(many, capacity)[name] > 1.05 * widths_of(few, capacity)[name]


@pytest.mark.parametrize("smallest", [0.05, 0.2])
@pytest.mark.parametrize("multiple", [4, 8])
def test_more_features_are_kept_where_the_smallest_cut_has_fewer_than_the_embedding_needs(
    smallest: float, multiple: int
) -> None:
    network = prunable("resnet18", crop=64)
    name = features(Channel().plan(network)).name
    allocate_by_cost(network, rank=FEW, smallest=smallest, multiple=multiple)
    kept = widths_of(network, smallest, multiple)[name]
    allocate_by_cost(network, rank=kept, smallest=smallest, multiple=multiple)
    assert widths_of(network, smallest, multiple)[name] == kept
    allocate_by_cost(network, rank=kept + 1, smallest=smallest, multiple=multiple)
    assert widths_of(network, smallest, multiple)[name] > kept


def test_a_capacity_below_the_narrowest_cut_counts_as_that_one() -> None:
    network = prunable("resnet18", crop=64)
    allocate_by_cost(network, rank=FEW, smallest=1e-9)
    assert_same_tensors(network.unit_ranks(), by_cost().unit_ranks())


def test_costs_change_nothing_but_the_ranks() -> None:
    network, before = prunable("resnet18", crop=64).train(), prunable("resnet18", crop=64)
    torch.manual_seed(3)
    expected = torch.get_rng_state()
    allocate_by_cost(network, rank=MANY, smallest=0.05)
    assert torch.equal(torch.get_rng_state(), expected)  # else the classifier would start in another way
    assert network.training
    assert_same_tensors(network.scores(), before.scores())
    assert_same_tensors(network.tensors(), before.tensors())


@settings(max_examples=20)
@given(st.floats(0.1, 1), st.floats(0.1, 1))
def test_cuts_by_cost_are_nested(one: float, other: float) -> None:
    wider, narrower = Channel(1).subnetworks(by_cost(), [max(one, other), min(one, other)])
    assert_nested(wider.masks(), narrower.masks())


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
    assert int(network.unit_ranks()[INNER][half:].min()) >= with_effect
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


def test_a_unit_is_ranked_by_its_effect_per_cost() -> None:
    network, plan = allocated(), Channel().plan(allocated())
    effects = squared_effects(network.embedder, plan.groups, [images(16, 32)])
    pairs = zip(effects, unit_costs(network, plan), strict=True)
    benefit = torch.cat([effect.sort(descending=True).values / cost for effect, cost in pairs])
    ranks = torch.cat([network.unit_ranks()[group.name] for group in plan.groups])
    assert torch.equal(benefit.argsort(descending=True, stable=True), ranks.argsort())
    alone = torch.cat([effect.sort(descending=True).values for effect in effects])
    assert not torch.equal(alone.argsort(descending=True, stable=True), ranks.argsort())


@pytest.mark.parametrize("backbone", ["resnet18", "resnext50_32x4d", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_the_scale_of_the_scores_stays(backbone: str) -> None:
    network = prunable(backbone, crop=64)
    before = {name: float(score.detach().abs().mean()) for name, score in network.scores().items()}
    allocate(network, [images(8, 64)])
    for name, score in network.scores().items():
        assert 0.6 < float(score.detach().abs().mean()) / before[name] < 1.6


def test_a_group_of_one_unit_has_a_rank_by_cost() -> None:
    network = prunable("vit_tiny_patch16_224", crop=32, options={"depth": 1, "num_heads": 1})
    allocate_by_cost(network, rank=MANY, smallest=0.05)
    assert Channel(1).widths(network, [0.3])


def test_the_only_unit_of_a_group_keeps_its_scores() -> None:
    network = prunable("vit_tiny_patch16_224", crop=32, options={"depth": 1, "num_heads": 1})
    name = "backbone.blocks.0.attn.qkv.weight"
    before = float(network.scores()[name].detach().abs().mean())
    allocate(network, [images(8, 32)])
    assert float(network.scores()[name].detach().abs().mean()) == pytest.approx(before, rel=0.5)


@pytest.mark.parametrize("batches", [[], [torch.zeros(0, 3, 32, 32)]])
def test_without_images_nothing_changes(batches: list[torch.Tensor]) -> None:
    network = tiny_resnet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    allocate(network, batches)
    assert_same_tensors(network.state_dict(), before)


def test_ranks_are_copied() -> None:
    network = tiny_resnet()
    network.set_unit_ranks(allocated().unit_ranks())
    network.unit_ranks()[INNER].zero_()
    assert bool(allocated().unit_ranks()[INNER].any())


def test_other_ranks_are_used_at_once() -> None:
    """A run that is resumed reads its ranks after the first cut was made."""
    network = tiny_resnet()
    uniform = widths_of(network, 0.5)
    network.set_unit_ranks(allocated().unit_ranks())
    assert widths_of(network, 0.5) == widths_of(allocated(), 0.5) != uniform
    network.set_unit_ranks({})
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
    network.set_unit_ranks(ranks)
    with pytest.raises(InvalidInput, match=match) as raised:
        Channel().widths(network, [0.5])
    assert_one_line(raised.value)


def test_ranks_that_do_not_fit_are_refused() -> None:
    ranks = allocated().unit_ranks()
    refused({name: one for name, one in ranks.items() if name != INNER}, "of other channel groups")
    refused({**ranks, INNER: ranks[INNER][1:]}, "of other channel groups")
    refused({**ranks, INNER: ranks[INNER][:, None]}, "of other channel groups")
    refused({"backbone.other": torch.zeros(0, dtype=torch.int32)}, "of other channel groups")
    refused({**ranks, INNER: ranks[INNER].flip(0)}, "not an order of its units")
    refused({name: torch.zeros_like(one) for name, one in ranks.items()}, "not an order of its units")
    refused({name: one - 1 for name, one in ranks.items()}, "not an order of its units")
    refused({name: one * 1e30 for name, one in ranks.items()}, "not an order of its units")


def test_ranks_of_another_name_are_refused_after_good_ones() -> None:
    network = tiny_resnet()
    network.set_unit_ranks(allocated().unit_ranks())
    Channel().widths(network, [0.5])
    network.set_unit_ranks({f"{name}.x": one for name, one in allocated().unit_ranks().items()})
    with pytest.raises(InvalidInput, match="of other channel groups"):
        Channel().widths(network, [0.5])


def test_a_plan_compares_ranks_by_their_values() -> None:
    network = tiny_resnet()
    network.set_unit_ranks(allocated().unit_ranks())
    [first] = Channel().widths(network, [0.4])
    network.set_unit_ranks(allocated().unit_ranks())
    [again] = Channel().widths(network, [0.4])
    assert again is first
