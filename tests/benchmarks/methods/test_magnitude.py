from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export.benchmarks.methods.magnitude import prune_by_magnitude
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Channel
from prunnet_export.patterns._plan import ChannelPlan
from tests._asserts import assert_same_tensors
from tests._inputs import images, tiny_resnet


@pytest.fixture
def network() -> PrunableNetwork:
    return tiny_resnet()


@pytest.mark.parametrize("capacity", [0.9, 0.6, 0.3])
def test_the_widths_are_those_of_our_cut(network: PrunableNetwork, capacity: float) -> None:
    before = deepcopy(network.embedder.state_dict())
    pruned = prune_by_magnitude(network, capacity, channel_multiple=2)
    [ours] = Channel(2).subnetworks(network, [capacity])
    cut = ours.structure
    assert [tuple(one.shape) for one in pruned.parameters()] == [tuple(one.shape) for one in cut.parameters()]
    assert pruned(images(2, 32)).shape == (2, network.embedder.projector.out_features)
    assert_same_tensors(network.embedder.state_dict(), before)


def test_the_smallest_channels_go(network: PrunableNetwork) -> None:
    inner = "backbone.layer1.0.conv1"  # only conv2 reads its channels
    widths = dict(
        zip((group.name for group in Channel().plan(network).groups), Channel().plan(network).full, strict=True)
    )
    small = torch.arange(0, widths[inner], 2)
    with torch.no_grad():
        for name in (f"{inner}.weight", "backbone.layer1.0.bn1.weight"):
            network.embedder.get_parameter(name)[small] *= 1e-3
        network.embedder.get_parameter("backbone.layer1.0.conv2.weight")[:, small] *= 1e-3
    kept = prune_by_magnitude(network, 0.5, channel_multiple=1).get_parameter("backbone.layer1.0.bn1.weight")
    large = [one for one in range(widths[inner]) if one % 2]
    assert set(kept.tolist()) >= set(network.embedder.get_parameter("backbone.layer1.0.bn1.weight")[large].tolist())


def test_below_the_narrowest(network: PrunableNetwork) -> None:
    with pytest.raises(InvalidInput, match="smallest channel cut"):
        prune_by_magnitude(network, 1e-6, channel_multiple=2)


def test_widths_that_torch_pruning_does_not_make(network: PrunableNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    Channel(2).widths(network, [0.5])  # from now on it is known
    monkeypatch.setattr(ChannelPlan, "weights_kept", lambda _self, _widths: 1)
    with pytest.raises(UnsupportedPattern, match="torch-pruning does not cut ResNet to 50%"):
        prune_by_magnitude(network, 0.5, channel_multiple=2)
