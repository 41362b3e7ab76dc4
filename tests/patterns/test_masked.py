from __future__ import annotations

import torch
from torch import nn

from prunnet_export.patterns._masked import MaskedSubnetwork, ungrouped_scores
from prunnet_export.patterns.unstructured import Unstructured
from tests._asserts import assert_adjoint, assert_kept_is_counted, assert_same_tensors
from tests._inputs import tiny_resnet
from tests.patterns._layers import FIRST, network_of


def test_layers_without_a_mask_stay_dense() -> None:
    network = tiny_resnet()
    name = "backbone.layer1.0.conv1.weight"
    mask = torch.zeros_like(network.prunable_weights()[name], dtype=torch.bool)
    mask[0] = True
    found = MaskedSubnetwork(network, "any", 0.5, {name: mask})
    assert found.masks().keys() == network.prunable_weights().keys()
    assert {one for one, kept in found.masks().items() if not bool(kept.all())} == {name}
    assert torch.equal(found.masks()[name], mask)
    assert found.total - found.kept == mask.numel() * 7 // 8
    assert_kept_is_counted(found)
    assert_adjoint(found, network.prunable_weights())


def test_scores_of_layers_without_groups() -> None:
    network = network_of(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=2), nn.Linear(8, 4)
    )
    found = ungrouped_scores(network)
    assert list(found) == [FIRST, "backbone.3.weight"]
    for name, magnitude in found.items():
        assert torch.equal(magnitude, network.scores()[name].abs())
        assert not magnitude.requires_grad


def test_gathers_into_memory_that_is_given() -> None:
    network = tiny_resnet()
    [found] = Unstructured().subnetworks(network, [0.5])
    tensors = network.tensors()
    into = {name: torch.full_like(weight, torch.nan) for name, weight in network.prunable_weights().items()}
    gathered = found.gather(tensors, into)
    assert_same_tensors(gathered, found.gather(tensors))
    for name, tensor in gathered.items():
        if name in into:
            assert tensor.data_ptr() == into[name].data_ptr()
        else:
            assert tensor.data_ptr() != tensors[name].data_ptr()
