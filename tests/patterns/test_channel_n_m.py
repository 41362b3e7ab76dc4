"""Fewer channels and 2:4 in what is left: physically smaller, exact in every run, and the halves in their order."""

from __future__ import annotations

import pytest
import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.patterns.channel_n_m import ChannelNM
from tests._asserts import assert_adjoint, assert_kept_is_counted
from tests._inputs import tiny_resnet

MULTIPLE = 8


def test_every_run_of_what_is_left_keeps_two_of_four() -> None:
    network = tiny_resnet()
    [small] = find_pattern("channel+2:4", MULTIPLE).subnetworks(network, [0.3])
    module = materialise(network, small)
    sparse = 0
    for name, mask in small.cut_masks().items():
        weight = module.get_parameter(name)
        assert weight.shape == mask.shape
        assert weight.shape[1] <= network.tensors()[name].shape[1]
        runs = (weight != 0).transpose(0, 1).reshape(-1, 4, weight[:, 0].numel()).sum(1)
        assert bool((runs == 2).all())
        sparse += 1
    assert sparse > 10


def test_the_share_is_halved_twice() -> None:
    network = tiny_resnet()
    [whole] = find_pattern("channel", MULTIPLE).subnetworks(network, [0.6])
    [half] = find_pattern("channel+2:4", MULTIPLE).subnetworks(network, [0.3])
    assert half.widths() == whole.widths()
    assert 0.5 * whole.kept <= half.kept < 0.6 * whole.kept  # the stem stays whole
    assert_kept_is_counted(half)


def test_one_is_the_dense_network_and_a_half_cuts_no_channel() -> None:
    network = tiny_resnet()
    half, dense = ChannelNM(2, 4, MULTIPLE).subnetworks(network, [0.5, 1.0])
    assert dense.capacity == 1
    assert not dense.cut_masks()
    [plain] = find_pattern("2:4", MULTIPLE).subnetworks(network, [0.5])
    for name, mask in plain.masks().items():
        assert torch.equal(mask, half.masks()[name])


def test_gradients_go_where_weights_came_from() -> None:
    network = tiny_resnet()
    [small] = find_pattern("channel+2:4", MULTIPLE).subnetworks(network, [0.3])
    assert_adjoint(small, network.prunable_weights())


def test_capacities_between_the_share_and_one_are_refused() -> None:
    pattern = find_pattern("channel+2:4")
    assert pattern.shares([0.2, 0.5, 0.8, 1]) == [0.2, 0.5, 1]
    with pytest.raises(InvalidInput, match=r"reaches no capacity of 0\.8") as caught:
        pattern.subnetworks(tiny_resnet(), [0.8])
    assert "0.5 or less" in caught.value.hint


def test_reachable_leaves_out_what_is_too_narrow() -> None:
    network = tiny_resnet()
    reached = find_pattern("channel+2:4", MULTIPLE).reachable(network, [0.001, 0.3, 0.8, 1])
    assert reached == [0.3, 1]
