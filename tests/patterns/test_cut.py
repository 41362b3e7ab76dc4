"""The cut module equals the masked full-size network, on every architecture and in every pattern."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import PATTERNS, Subnetwork, find_pattern, materialise
from prunnet_export.patterns.channel import Channel
from prunnet_export.patterns.unstructured import Unstructured
from tests._asserts import assert_healthy, assert_kept_is_counted, assert_same_embedding, assert_same_tensors
from tests._inputs import cut, images, prunable, tiny_resnet
from tests._reference import masked_embedder

CROP = 64
BACKBONES = (
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "mobilenetv2_100",
    "mobilenetv3_small_100",
    "convnext_atto",
    "vit_tiny_patch16_224",
)
CUTS = (("channel", 0.8), ("channel", 0.3), ("unstructured", 0.4))


@cache
def network(backbone: str) -> PrunableNetwork:
    return prunable(backbone, crop=CROP)


def subnetwork(backbone: str, pattern: str, capacity: float) -> Subnetwork:
    [found] = find_pattern(pattern).subnetworks(network(backbone), [capacity])
    return found


def prunable_weights_in(module: torch.nn.Module) -> int:
    backbone = module.get_submodule("backbone")
    return sum(
        int(m.weight.count_nonzero()) for m in backbone.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    )


@pytest.mark.parametrize(
    ("backbone", "pattern", "capacity"),
    [
        *((backbone, *cut) for backbone in BACKBONES for cut in CUTS),
        ("mobilenetv3_small_100", "block", 0.4),
        ("mobilenetv3_small_100", "2:4", 0.5),
        ("vit_tiny_patch16_224", "2:4", 0.5),
    ],
)
@torch.no_grad()
def test_cut_equals_the_masked_network(backbone: str, pattern: str, capacity: float) -> None:
    chosen = subnetwork(backbone, pattern, capacity)
    small = materialise(network(backbone), chosen)
    # In double precision a difference is a wrong index and not a rounding.
    batch = images(2, CROP).double()
    expected = masked_embedder(network(backbone), chosen).double()(batch)
    assert_same_embedding(small.double()(batch), expected, tolerance=1e-9)
    assert_kept_is_counted(chosen)
    assert prunable_weights_in(small) == chosen.kept


@pytest.mark.parametrize("backbone", BACKBONES)
def test_channel_cut_is_physically_smaller(backbone: str) -> None:
    dense = {name: tensor.shape for name, tensor in network(backbone).embedder.named_parameters()}
    small = cut(network(backbone), 0.35, Channel())
    shapes = {name: tensor.shape for name, tensor in small.named_parameters()}
    assert shapes.keys() == dense.keys()
    assert all(s <= d for name in dense for s, d in zip(shapes[name], dense[name], strict=True))
    scored = list(network(backbone).prunable_weights())
    smaller = [name for name in scored if shapes[name].numel() < dense[name].numel()]
    assert len(smaller) >= 0.8 * len(scored)
    assert sum(shapes[name].numel() for name in scored) <= 0.35 * sum(dense[n].numel() for n in scored)


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_a_cut_matters(backbone: str) -> None:
    batch = images(3, CROP)
    dense = network(backbone)(batch)
    assert_healthy(dense)
    other = cut(network(backbone), 0.5, Channel())(batch)
    assert float((dense - other).abs().max()) > 1e-2 * float(dense.abs().max())


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.no_grad()
def test_capacity_one_is_the_dense_network_with_weights_of_its_own(pattern: str) -> None:
    dense = tiny_resnet()
    whole = cut(dense, 1.0, find_pattern(pattern))
    assert_same_tensors(whole.state_dict(), dense.embedder.state_dict())
    whole.get_parameter("projector.weight").zero_()
    assert float(dense.embedder.projector.weight.abs().min()) > 0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_cutting_leaves_the_network_as_it_was(pattern: str) -> None:
    dense = tiny_resnet().train()
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    small = cut(dense, 0.5, find_pattern(pattern, 4))
    assert_same_tensors(dense.state_dict(), before)
    assert dense.training
    assert all(p.requires_grad for p in dense.parameters())
    assert not small.training
    assert not any(p.requires_grad for p in small.parameters())


def test_running_statistics_travel_with_their_channels() -> None:
    dense = tiny_resnet()
    [chosen] = Channel(4).subnetworks(dense, [0.4])
    small = materialise(dense, chosen)
    written = chosen.masks()["backbone.conv1.weight"].flatten(1).any(1)
    expected = dense.embedder.get_buffer("backbone.bn1.running_mean")[written]
    assert torch.equal(small.get_buffer("backbone.bn1.running_mean"), expected)


def test_attributes_say_what_the_tensors_say() -> None:
    for backbone in BACKBONES:
        for module in cut(network(backbone), 0.35, Channel()).modules():
            if isinstance(module, torch.nn.Conv2d):
                assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)
            elif isinstance(module, torch.nn.Linear):
                assert module.weight.shape == (module.out_features, module.in_features)
            elif isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert len(module.running_mean) == module.num_features


def test_zeros_are_where_the_mask_says() -> None:
    dense = tiny_resnet()
    [chosen] = Unstructured().subnetworks(dense, [0.3])
    small = materialise(dense, chosen)
    for name, mask in chosen.masks().items():
        assert torch.equal(small.get_parameter(name) != 0, mask)
