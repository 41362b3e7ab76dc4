"""Which channels stand and fall together."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from prunnet_export._errors import UnsupportedPattern
from prunnet_export.network import Embedder, build_embedder
from prunnet_export.patterns._groups import ChannelGroup, find_channel_groups
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line
from tests._inputs import prunable

CROP = 64
SWIN = "swin_tiny_patch4_window7_224"
BACKBONES = ("resnet18", "resnext50_32x4d", "mobilenetv2_100", "convnext_atto", "vit_tiny_patch16_224", SWIN)


@cache
def embedder(backbone: str) -> Embedder:
    return prunable(backbone, crop=CROP, options={"depths": [1, 2, 1]} if backbone == SWIN else None).embedder


@cache
def groups(backbone: str) -> tuple[ChannelGroup, ...]:
    return tuple(find_channel_groups(embedder(backbone), size=(CROP, CROP)))


def group_of(backbone: str, tensor: str, dim: int) -> ChannelGroup:
    [found] = [group for group in groups(backbone) if any((a.tensor, a.dim) == (tensor, dim) for a in group.axes)]
    return found


def members(group: ChannelGroup, dim: int) -> set[str]:
    return {axis.tensor for axis in group.axes if axis.dim == dim}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_positions_lie_in_their_tensors_and_belong_to_one_unit(backbone: str) -> None:
    tensors = {**dict(embedder(backbone).named_parameters()), **dict(embedder(backbone).named_buffers())}
    for group in groups(backbone):
        for axis in group.axes:
            assert axis.positions.shape[0] == group.units
            flat = axis.positions.flatten()
            assert len(set(flat.tolist())) == len(flat)
            assert 0 <= int(flat.min()) <= int(flat.max()) < tensors[axis.tensor].shape[axis.dim]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_no_two_groups_share_a_position(backbone: str) -> None:
    seen: dict[tuple[str, int], Tensor] = {}
    for group in groups(backbone):
        for axis in group.axes:
            before = seen.get((axis.tensor, axis.dim), torch.empty(0, dtype=torch.int64))
            both = torch.cat([before, axis.positions.flatten()])
            assert len(set(both.tolist())) == len(both)
            seen[axis.tensor, axis.dim] = both


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_embedding_stays_whole(backbone: str) -> None:
    for group in groups(backbone):
        assert "projector.weight" not in members(group, 0)
        assert not {axis.tensor for axis in group.axes} & {"projector.bias", "norm.weight", "norm.running_mean"}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_projector_follows_the_last_features(backbone: str) -> None:
    assert group_of(backbone, "projector.weight", 1).units > 1


@pytest.mark.parametrize("backbone", BACKBONES)
def test_groups_come_in_the_order_of_the_modules_with_names_of_modules(backbone: str) -> None:
    order = [name for name, _ in embedder(backbone).named_modules()]
    places = [order.index(group.name) for group in groups(backbone)]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_a_residual_stream_is_one_group() -> None:
    stream = group_of("resnet18", "backbone.layer3.1.conv2.weight", 0)
    assert stream.units == 256
    assert members(stream, 0) >= {
        "backbone.layer3.0.conv2.weight",
        "backbone.layer3.0.downsample.0.weight",
        "backbone.layer3.1.conv2.weight",
        "backbone.layer3.1.bn2.running_mean",
        "backbone.layer3.1.bn2.bias",
    }
    assert members(stream, 1) == {
        "backbone.layer3.1.conv1.weight",
        "backbone.layer4.0.conv1.weight",
        "backbone.layer4.0.downsample.0.weight",
    }


def test_the_inside_of_a_block_is_its_own_group() -> None:
    inside = group_of("resnet18", "backbone.layer3.0.conv1.weight", 0)
    assert members(inside, 1) == {"backbone.layer3.0.conv2.weight"}


def test_a_depthwise_convolution_goes_with_its_channels() -> None:
    group = group_of("mobilenetv2_100", "backbone.blocks.2.0.conv_dw.weight", 0)
    assert "backbone.blocks.2.0.conv_pw.weight" in members(group, 0)
    assert members(group, 1) == {"backbone.blocks.2.0.conv_pwl.weight"}


def test_a_grouped_convolution_loses_whole_groups() -> None:
    group = group_of("resnext50_32x4d", "backbone.layer1.0.conv2.weight", 0)
    assert (group.units, group.unit_width) == (32, 4)
    assert members(group, 1) == {"backbone.layer1.0.conv3.weight"}
    assert {"backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn2.weight"} <= members(group, 0)


def test_heads_go_whole_out_of_q_k_and_v() -> None:
    group = group_of("vit_tiny_patch16_224", "backbone.blocks.3.attn.qkv.weight", 0)
    assert (group.units, group.unit_width) == (3, 64)
    [rows] = [axis.positions for axis in group.axes if axis.tensor.endswith("qkv.weight")]
    expected = [part * 192 + 64 + channel for part in range(3) for channel in range(64)]
    assert rows[1].tolist() == expected
    assert members(group, 1) == {"backbone.blocks.3.attn.proj.weight"}
    assert "backbone.blocks.3.attn.qkv.bias" in members(group, 0)


def test_window_heads_take_their_position_biases_along() -> None:
    group = group_of(SWIN, "backbone.layers.1.blocks.1.attn.qkv.weight", 0)
    assert (group.units, group.unit_width) == (6, 32)
    [rows] = [axis.positions for axis in group.axes if axis.tensor.endswith("qkv.weight")]
    assert rows[2].tolist() == [part * 192 + 64 + channel for part in range(3) for channel in range(32)]
    [biases] = [axis for axis in group.axes if axis.tensor.endswith("relative_position_bias_table")]
    assert (biases.dim, biases.positions.tolist()) == (1, [[head] for head in range(6)])
    assert "backbone.layers.1.blocks.1.attn.proj.weight" in members(group, 1)


def test_merged_patches_hold_each_channel_four_times() -> None:
    stream = group_of(SWIN, "backbone.patch_embed.proj.weight", 0)
    assert stream.units == 96
    positions = {axis.tensor: axis.positions for axis in stream.axes if ".downsample." in axis.tensor}
    assert positions.keys() == {
        "backbone.layers.1.downsample.norm.weight",
        "backbone.layers.1.downsample.norm.bias",
        "backbone.layers.1.downsample.reduction.weight",
    }
    for of_channel in positions.values():
        assert of_channel[5].tolist() == [5, 101, 197, 293]
    after = group_of(SWIN, "backbone.layers.1.downsample.reduction.weight", 0)
    assert "backbone.layers.1.blocks.0.norm1.weight" in members(after, 0)


def test_tokens_go_with_the_stream() -> None:
    stream = group_of("vit_tiny_patch16_224", "backbone.patch_embed.proj.weight", 0)
    tensors = {axis.tensor for axis in stream.axes}
    assert {"backbone.cls_token", "backbone.pos_embed", "backbone.norm.weight"} <= tensors
    assert members(stream, 1) >= {"backbone.blocks.0.attn.qkv.weight", "backbone.blocks.0.mlp.fc1.weight"}


def test_layer_scales_go_with_the_stream() -> None:
    stream = group_of("convnext_atto", "backbone.stages.1.blocks.0.conv_dw.weight", 0)
    assert "backbone.stages.1.blocks.0.gamma" in {axis.tensor for axis in stream.axes}


def test_response_norms_go_with_the_hidden_channels() -> None:
    hidden = group_of("convnextv2_atto", "backbone.stages.1.blocks.0.mlp.fc1.weight", 0)
    assert {f"backbone.stages.1.blocks.0.mlp.grn.{tensor}" for tensor in ("weight", "bias")} <= members(hidden, 0)


@pytest.mark.parametrize("training", [True, False])
def test_tracing_leaves_the_network_as_it_was(training: bool) -> None:
    module = prunable("resnet18", crop=32, options={"channels": [8, 16, 24, 32]}).embedder.train(training)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    find_channel_groups(module, size=(32, 32))
    assert module.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_channels_that_a_group_norm_counts_stay_whole() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU())
    whole = Embedder(backbone, features=8, dim=4, preprocessing=Preprocessing(crop=16, resize=16))
    with pytest.raises(UnsupportedPattern) as raised:
        find_channel_groups(whole, size=(16, 16))
    assert_one_line(raised.value)
    assert "unstructured" in raised.value.hint


def test_a_backbone_that_cannot_be_traced_is_named() -> None:
    module = build_embedder("coat_tiny", dim=4, preprocessing=Preprocessing(crop=64, resize=64)).eval()
    with pytest.raises(UnsupportedPattern, match="the channels of CoaT cannot be traced: TypeError") as raised:
        find_channel_groups(module, size=(64, 64))
    assert_one_line(raised.value)
    assert "unstructured" in raised.value.hint


def test_too_little_memory_for_a_trace_is_no_missing_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    module = prunable("resnet18", crop=32, options={"channels": [8, 16, 24, 32]}).embedder

    def forward(_images: Tensor) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(module, "forward", forward)
    with pytest.raises(MemoryError):
        find_channel_groups(module, size=(32, 32))
