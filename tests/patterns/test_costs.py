"""The costs of units and subnetworks, against cuts that are counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunnet_export.network import Embedder
from prunnet_export.patterns import find_pattern, materialise, multiplications
from prunnet_export.patterns._costs import unit_costs
from prunnet_export.patterns.channel import Channel
from tests._inputs import prunable


@pytest.mark.parametrize("pattern", ["channel", "channel+2:4"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100", "vit_tiny_patch16_224"])
def test_a_subnetwork_multiplies_as_often_as_its_cut(backbone: str, pattern: str) -> None:
    network = prunable(backbone, crop=64)
    [chosen] = find_pattern(pattern).subnetworks(network, [0.3])
    expected = multiplications_of(materialise(network, chosen)) / multiplications_of(network.embedder)
    assert multiplications(network, chosen) == pytest.approx(expected, rel=1e-9)
    assert expected < 0.7


def test_zeros_are_multiplied_too() -> None:
    network = prunable("resnet18", crop=32)
    [chosen] = find_pattern("unstructured").subnetworks(network, [0.1])
    assert multiplications(network, chosen) == 1


@pytest.mark.parametrize("backbone", ["mobilenetv2_100", "resnext50_32x4d", "vit_tiny_patch16_224"])
def test_a_unit_costs_what_a_cut_without_it_saves(backbone: str) -> None:
    network = prunable(backbone, crop=64)
    plan = Channel().plan(network)
    total = multiplications_of(network.embedder)
    for index, cost in enumerate(unit_costs(network, plan)):
        widths = tuple(units - (place == index) for place, units in enumerate(plan.full))
        weights = 1 - plan.weights_kept(widths) / plan.weights_total
        saved = 1 - multiplications_of(plan.structure(widths)) / total
        assert cost == pytest.approx(weights + saved, rel=1e-6)


@torch.no_grad()
def multiplications_of(module: Embedder) -> int:
    """The multiplications of the backbone's convolutions and linear layers for an image of 64 px."""
    counts: list[int] = []
    handles = [
        one.register_forward_hook(
            lambda layer, _inputs, output: counts.append(output.numel() // len(layer.weight) * layer.weight.numel())
        )
        for one in module.backbone.modules()
        if isinstance(one, nn.Conv2d | nn.Linear)
    ]
    module.eval()(torch.zeros(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    return sum(counts)


def test_weights_of_layers_that_are_never_called_are_used_with_every_token() -> None:
    network = prunable("beit_base_patch16_224", crop=32, options={"depth": 1})
    costs = dict(zip(Channel().plan(network).groups, unit_costs(network, Channel().plan(network)), strict=True))
    [hidden] = [cost for group, cost in costs.items() if group.name.endswith("mlp.fc1")]
    # Of 12 d^2 weights of a block, its two hidden layers have 8 d^2, in 4 d units; the patch embedding is small.
    assert hidden == pytest.approx(2 * 2 / (12 * 768), rel=0.15)
