"""The effect of a unit on the embedding: against the change that is measured when the unit shrinks."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns._effects import squared_effects
from prunnet_export.patterns._groups import ChannelGroup
from prunnet_export.patterns.channel import Channel
from tests._asserts import assert_same_tensors
from tests._inputs import images, prunable, tiny_resnet

BACKBONES = (
    "resnet18", "resnext50_32x4d", "mobilenetv2_100", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224",
)  # fmt: skip


def groups_of(network: PrunableNetwork) -> tuple[ChannelGroup, ...]:
    return Channel().plan(network).groups


@torch.no_grad()
def measured(embedder: Embedder, group: ChannelGroup, unit: int, batch: Tensor) -> float:
    """The mean squared change of the embedding per squared share by which the unit's readers shrink."""
    share, shrunk = 1e-4, deepcopy(embedder).double()
    for axis in group.axes:
        if axis.dim == 1 and axis.tensor.endswith(".weight"):
            shrunk.get_parameter(axis.tensor)[:, axis.positions[unit]] *= 1 - share
    change = shrunk(batch.double()) - deepcopy(embedder).double()(batch.double())
    return float(change.square().sum(1).mean()) / share**2


def test_effects_are_those_that_a_shrunk_unit_has() -> None:
    network, batch = tiny_resnet(), images(12, 32)
    groups = groups_of(network)
    effects = squared_effects(network.embedder, groups, [batch] * 100)
    for group, effect in zip(groups, effects, strict=True):
        expected = torch.tensor([measured(network.embedder, group, unit, batch) for unit in range(group.units)])
        # 300 random directions: the estimate of one unit has a standard deviation of at least 8 %.
        torch.testing.assert_close(effect.float(), expected.float(), rtol=0.4, atol=1e-6)
        assert float(effect.sum()) == pytest.approx(float(expected.sum()), rel=0.2)


def test_a_unit_that_nothing_reads_has_no_effect() -> None:
    network = tiny_resnet()
    index = next(i for i, group in enumerate(groups_of(network)) if group.name == "backbone.layer3.0.conv1")
    before = squared_effects(network.embedder, groups_of(network), [images(8, 32)])[index]
    unit = int(before.argmax())
    with torch.no_grad():
        network.embedder.get_parameter("backbone.layer3.0.conv2.weight")[:, unit] = 0
    after = squared_effects(network.embedder, groups_of(network), [images(8, 32)])[index]
    assert float(before[unit]) > 0 == float(after[unit])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_group_is_read_by_a_weight(backbone: str) -> None:
    network = prunable(backbone, crop=64)
    for effect in squared_effects(network.embedder, groups_of(network), [images(8, 64)]):
        assert bool((effect > 0).any())


def test_the_network_does_not_change() -> None:
    network = tiny_resnet().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        effects = squared_effects(network.embedder, groups_of(network), [images(8, 32)])
    assert all(effect.dtype == torch.float64 for effect in effects)
    assert network.embedder.training
    assert_same_tensors(network.state_dict(), before)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_without_images_nothing_is_known() -> None:
    network = tiny_resnet()
    effects = squared_effects(network.embedder, groups_of(network), [])
    assert [len(effect) for effect in effects] == [group.units for group in groups_of(network)]
    assert not any(bool(effect.any()) for effect in effects)


def test_frozen_weights_are_read_too() -> None:
    network = tiny_resnet()
    expected = squared_effects(network.embedder, groups_of(network), [images(8, 32)])
    network.embedder.requires_grad_(requires_grad=False)
    for frozen, effect in zip(
        squared_effects(network.embedder, groups_of(network), [images(8, 32)]), expected, strict=True
    ):
        assert torch.equal(frozen, effect)
