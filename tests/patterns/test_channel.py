"""Channel cuts: nested, in multiples, inside the asked capacity, coupled layers together."""

from __future__ import annotations

import gc
import weakref
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunnet_export._errors import InvalidInput, UnknownName, UnsupportedPattern
from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns import PATTERNS, Subnetwork, find_pattern
from prunnet_export.patterns.channel import Channel, ChannelSubnetwork
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_adjoint, assert_kept_is_counted, assert_nested, assert_one_line
from tests._inputs import prunable, tiny_resnet

SWIN = "swin_tiny_patch4_window7_224"
BACKBONES = ("resnet18", "resnext50_32x4d", "mobilenetv2_100", "convnext_atto", "vit_tiny_patch16_224", SWIN)


@cache
def network(backbone: str) -> PrunableNetwork:
    return prunable(backbone, crop=64, options={"depths": [1, 2, 1]} if backbone == SWIN else None)


@cache
def tiny() -> PrunableNetwork:
    return tiny_resnet()


def subnetworks(source: PrunableNetwork, capacities: list[float], multiple: int = 8) -> list[Subnetwork]:
    return Channel(multiple).subnetworks(source, capacities)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_nested_inside_and_monotone(backbone: str) -> None:
    capacities = [1.0, 0.8, 0.6, 0.4]
    found = subnetworks(network(backbone), capacities)
    for chosen, capacity in zip(found, capacities, strict=True):
        assert_kept_is_counted(chosen)
        assert chosen.asked == capacity
        assert chosen.capacity <= capacity
    for wider, narrower in pairwise(found):
        assert_nested(wider.masks(), narrower.masks())
        assert wider.kept >= narrower.kept


@settings(max_examples=30)
@given(st.floats(0.1, 1), st.floats(0.1, 1))
def test_nested_at_any_two_capacities(one: float, other: float) -> None:
    wider, narrower = subnetworks(tiny(), [max(one, other), min(one, other)], multiple=2)
    assert_nested(wider.masks(), narrower.masks())
    assert narrower.kept <= wider.kept
    assert wider.capacity <= max(one, other)


@settings(max_examples=20)
@given(st.floats(0.5, 1), st.integers(1, 8))
def test_widths_are_multiples(capacity: float, multiple: int) -> None:
    plan = Channel().plan(tiny())
    [chosen] = subnetworks(tiny(), [capacity], multiple=multiple)
    widths = chosen.widths()
    assert widths is not None
    assert list(widths) == [group.name for group in plan.groups]
    for group in plan.groups:
        whole = group.units * group.unit_width
        assert widths[group.name] % multiple == 0 or widths[group.name] == whole


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("multiple", [1, 8, 32])
def test_widths_are_multiples_and_whole_units(backbone: str, multiple: int) -> None:
    plan = Channel().plan(network(backbone))
    [chosen] = subnetworks(network(backbone), [0.7], multiple=multiple)
    widths = chosen.widths()
    assert widths is not None
    for group in plan.groups:
        width, whole = widths[group.name], group.units * group.unit_width
        assert 0 < width <= whole
        assert width % group.unit_width == 0
        assert width % multiple == 0 or width == whole


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_finer_multiple_comes_nearer_to_the_capacity(backbone: str) -> None:
    [fine] = subnetworks(network(backbone), [0.5], multiple=1)
    [coarse] = subnetworks(network(backbone), [0.5], multiple=32)
    assert 0.45 <= fine.capacity <= 0.5
    assert coarse.capacity <= fine.capacity


def test_residual_layers_share_their_channels() -> None:
    [chosen] = subnetworks(network("resnet18"), [0.4])
    masks = chosen.masks()

    def written(layer: str) -> torch.Tensor:
        return masks[f"backbone.{layer}.weight"].flatten(1).any(1)

    def read(layer: str) -> torch.Tensor:
        return masks[f"backbone.{layer}.weight"].transpose(0, 1).flatten(1).any(1)

    stream = written("layer2.0.conv2")
    assert 0 < int(stream.sum()) < len(stream)
    for layer in ("layer2.0.downsample.0", "layer2.1.conv2"):
        assert torch.equal(written(layer), stream)
    for layer in ("layer2.1.conv1", "layer3.0.conv1", "layer3.0.downsample.0"):
        assert torch.equal(read(layer), stream)


def test_the_best_scored_channels_stay() -> None:
    source = tiny_resnet()
    with torch.no_grad():
        for score in source.scores().values():
            score.fill_(0.1)
        source.scores()["backbone.layer1.0.conv1.weight"][[1, 4, 6]] = 1
    [chosen] = subnetworks(source, [0.2], multiple=1)
    kept = chosen.masks()["backbone.layer1.0.conv1.weight"].flatten(1).any(1)
    assert int(kept.sum()) >= 3
    assert bool(kept[[1, 4, 6]].all())


def test_masks_are_products_of_kept_channels() -> None:
    [chosen] = subnetworks(tiny(), [0.4], multiple=1)
    for mask in chosen.masks().values():
        rows, columns = mask.flatten(1).any(1), mask.transpose(0, 1).flatten(1).any(1)
        assert torch.equal(mask[:, :, 0, 0], rows[:, None] & columns[None, :])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_adjoint(backbone: str) -> None:
    [chosen] = subnetworks(network(backbone), [0.5])
    assert_adjoint(chosen, network(backbone).prunable_weights())


def test_gather_is_differentiable() -> None:
    source = tiny()
    [chosen] = subnetworks(source, [0.5], multiple=1)
    name = "backbone.layer2.0.conv1.weight"
    dense = source.prunable_weights()[name].detach().clone().requires_grad_()
    [gradient] = torch.autograd.grad(chosen.gather({name: dense})[name].sum(), [dense])
    assert torch.equal(gradient.bool(), chosen.masks()[name])


def test_capacity_one_is_the_dense_structure() -> None:
    [whole] = subnetworks(tiny(), [1.0])
    assert whole.structure is tiny().embedder
    assert whole.capacity == 1
    assert all(bool(mask.all()) for mask in whole.masks().values())


def test_equal_widths_share_one_structure() -> None:
    one, other = subnetworks(tiny(), [0.5, 0.5], multiple=1)
    assert one.structure is other.structure


def test_random_capacities_do_not_fill_the_memory() -> None:
    network = tiny_resnet()
    for step in range(60):
        subnetworks(network, [0.2 + step / 80], multiple=1)
    plan = Channel().plan(network)
    assert len(plan._structures) <= 16
    first, again = subnetworks(network, [0.2, 0.2], multiple=1)  # its structure was dropped long ago
    assert first.structure is again.structure


def test_a_network_is_traced_once_and_forgotten_when_it_goes() -> None:
    network = tiny_resnet()
    plan = Channel(1).plan(network)
    assert Channel(8).plan(network) is plan
    kept = weakref.ref(plan)
    del network, plan
    gc.collect()
    assert kept() is None


def test_kept_positions_are_sorted_and_in_range() -> None:
    [chosen] = subnetworks(tiny(), [0.5], multiple=1)
    assert isinstance(chosen, ChannelSubnetwork)
    tensors = tiny().tensors()
    assert chosen._index
    for name, axes in chosen._index.items():
        for dim, kept in axes.items():
            assert kept.tolist() == sorted(set(kept.tolist()))
            assert 0 <= int(kept[0]) <= int(kept[-1]) < tensors[name].shape[dim]
            assert len(kept) < tensors[name].shape[dim]


@pytest.mark.parametrize("capacity", [0.001, 0.01])
def test_too_small_a_capacity(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="below the smallest channel cut") as raised:
        subnetworks(tiny(), [capacity], multiple=8)
    assert_one_line(raised.value)


def test_the_hint_of_a_too_small_capacity_works() -> None:
    with pytest.raises(InvalidInput) as raised:
        subnetworks(network("resnet18"), [1e-5])
    [chosen] = subnetworks(network("resnet18"), [float(raised.value.hint.split()[-1])])
    assert chosen.kept > 0


@pytest.mark.parametrize("capacity", [0, -1, 1.5, float("nan")])
def test_capacity_out_of_range(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        subnetworks(tiny(), [capacity])


def test_tracing_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        expected = subnetworks(tiny_resnet(), [0.5])[0].widths()
    assert expected == subnetworks(tiny(), [0.5])[0].widths()


def test_patterns_are_found_by_name() -> None:
    for name in PATTERNS:
        assert find_pattern(name).name == name
    with pytest.raises(UnknownName) as raised:
        find_pattern("chanel")
    assert_one_line(raised.value)
    assert "'channel'" in raised.value.hint


def test_planning_leaves_the_network_in_training_mode() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU())  # one unit: the half of it is all of it
    embedder = Embedder(backbone, features=1, dim=4, preprocessing=Preprocessing(crop=16, resize=16))
    Channel().plan(PrunableNetwork(embedder, size=(16, 16)).train())
    assert all(module.training for module in embedder.modules())


class _Residual(nn.Module):
    """It adds to the image itself, whose three channels cannot be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = image + self.conv(image)
        return mixed


def test_channels_that_cannot_be_cut() -> None:
    embedder = Embedder(_Residual(), features=3, dim=4, preprocessing=Preprocessing(crop=16, resize=16))
    source = PrunableNetwork(embedder, size=(16, 16))
    for _ in range(2):  # also when asked again
        with pytest.raises(UnsupportedPattern) as raised:
            subnetworks(source, [0.5])
        assert_one_line(raised.value)
        assert "unstructured" in raised.value.hint
