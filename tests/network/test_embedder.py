"""The dense embedder: shapes, standardisation, unit vectors, and what a configuration may not ask for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export.network import Embedder, Normalised, build_embedder
from prunnet_export.network_config import BackboneOption
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import TINY_RESNET, images

SMALL = Preprocessing(crop=32, resize=32)


def embedder(backbone: str = "resnet18", **options: BackboneOption) -> Embedder:
    options = options or (dict(TINY_RESNET) if backbone.startswith("resnet18") else {})
    return build_embedder(backbone, dim=8, preprocessing=SMALL, options=options).eval()


@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18",
        "mobilenetv2_100",
        "mobilenetv3_small_100",
        "mobilenetv4_conv_small",
        "ghostnet_100",
        "convnext_atto",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "resnet18-no-maxpool",
    ],
)
@torch.no_grad()
def test_embeds_at_the_crop_of_the_preprocessing(backbone: str) -> None:
    embedding = embedder(backbone)(images(2, 32))
    assert embedding.shape == (2, 8)
    assert embedding.dtype == torch.float32
    assert bool(embedding.isfinite().all())


@torch.no_grad()
def test_is_the_composition_that_the_class_documents() -> None:
    module = embedder()
    batch = images(3, 32)
    mean = torch.tensor(SMALL.mean).view(1, 3, 1, 1)
    std = torch.tensor(SMALL.std).view(1, 3, 1, 1)
    expected = module.norm(module.projector(module.backbone((batch - mean) / std)))
    torch.testing.assert_close(module(batch), expected)


@torch.no_grad()
def test_feature_maps_are_averaged() -> None:
    class Identity(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch

    plain = Preprocessing(crop=8, resize=8, mean=(0, 0, 0), std=(1, 1, 1))
    module = Embedder(Identity(), features=3, dim=2, preprocessing=plain).eval()
    batch = images(2, 8)
    torch.testing.assert_close(module(batch), module.norm(module.projector(batch.mean((2, 3)))))


@given(st.integers(1, 4), st.floats(0.01, 100))
def test_normalised_gives_unit_vectors_of_the_same_direction(count: int, scale: float) -> None:
    raw = torch.randn(count, 5, generator=torch.Generator().manual_seed(count)) * scale
    unit = Normalised(nn.Identity())(raw)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(count))
    torch.testing.assert_close(F.cosine_similarity(unit, raw), torch.ones(count))


def test_mean_and_std_are_no_part_of_the_checkpoint() -> None:
    assert not {"mean", "std"} & embedder().state_dict().keys()


@pytest.mark.parametrize(
    "option",
    ["pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "features_only"],
)
def test_weights_are_never_fetched(option: str) -> None:
    with pytest.raises(InvalidInput, match=option) as raised:
        build_embedder("resnet18", dim=8, preprocessing=SMALL, options={option: True})
    assert_one_line(raised.value)


def test_a_tag_that_timm_does_not_have() -> None:
    with pytest.raises(InvalidInput, match=r"resnet18\.bogus cannot be built") as raised:
        build_embedder("resnet18.bogus", dim=8, preprocessing=Preprocessing(crop=32, resize=32))
    assert_one_line(raised.value)


def test_unknown_backbone() -> None:
    with pytest.raises(UnknownName, match="resnet19") as raised:
        embedder("resnet19")
    assert_one_line(raised.value)
    assert "did you mean" in raised.value.hint


@pytest.mark.parametrize(
    "backbone", ["", "hf-hub:someone/something", "hf_hub:someone/something", "/etc/passwd", "../x"]
)
def test_a_backbone_is_a_name_and_no_address(backbone: str) -> None:
    with pytest.raises(UnknownName) as raised:
        embedder(backbone)
    assert_one_line(raised.value)


@pytest.mark.parametrize("options", [{"no_such_option": 1}, {"channels": 3}, {"output_stride": 7}])
def test_options_that_the_architecture_does_not_take(options: dict[str, BackboneOption]) -> None:
    with pytest.raises(InvalidInput, match="resnet18 cannot be built") as raised:
        embedder("resnet18", **options)
    assert_one_line(raised.value)


@pytest.mark.parametrize(
    ("backbone", "options", "crop"),
    [
        ("vit_tiny_patch16_224", {"img_size": 48}, 32),
        ("efficientformer_l1", {}, 64),  # its attention biases are for 224 px
        ("resnet18", {"channels": [8, 16, 24, 32], "cardinality": 3}, 32),
        ("swin_tiny_patch4_window7_224", {"depths": [1, 1], "num_heads": [3]}, 32),
    ],
)
def test_what_does_not_run_is_not_returned(backbone: str, options: dict[str, BackboneOption], crop: int) -> None:
    with pytest.raises(InvalidInput, match=backbone) as raised:
        build_embedder(backbone, dim=8, preprocessing=Preprocessing(crop=crop, resize=crop), options=options)
    assert_one_line(raised.value)


def test_a_side_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInput, match="does not run on 32 x 32 px") as raised:
        embedder("vit_tiny_patch16_224", img_size=48)
    assert "side" in raised.value.hint


def test_trying_it_out_leaves_nothing_behind() -> None:
    torch.manual_seed(0)
    module = build_embedder("resnet18", dim=8, preprocessing=SMALL, options=TINY_RESNET)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    again = build_embedder("resnet18", dim=8, preprocessing=Preprocessing(crop=64, resize=64), options=TINY_RESNET)
    assert torch.equal(drawn, torch.rand(1))
    assert_same_tensors(module.state_dict(), again.state_dict())
    assert all(part.training for part in module.modules())
    assert int(module.get_buffer("backbone.bn1.num_batches_tracked")) == 0


@torch.no_grad()
def test_no_maxpool_is_the_resnet_without_its_max_pool() -> None:
    usual, without = embedder("resnet18"), embedder("resnet18-no-maxpool")
    without.load_state_dict(usual.state_dict())
    batch = images(2, 32)
    sides: list[int] = []
    without.backbone.get_submodule("layer1").register_forward_hook(
        lambda _module, _inputs, out: sides.append(len(out[0, 0]))
    )
    changed = without(batch)
    assert sides == [16]
    usual.backbone.register_module("maxpool", nn.Identity())
    torch.testing.assert_close(changed, usual(batch))


@pytest.mark.parametrize(("backbone", "gmac"), [("resnet18", 1.8), ("resnet18-no-maxpool", 6.9)])
def test_cost_of_the_released_topology(backbone: str, gmac: float) -> None:
    whole = build_embedder(backbone, dim=256, preprocessing=SMALL).to("meta")
    with FlopCounterMode(display=False) as counter:
        whole(torch.empty(2, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() / 2 / 2 / 1e9 == pytest.approx(gmac, abs=0.05)  # a MAC is two, and two images


def test_variants_are_offered() -> None:
    with pytest.raises(UnknownName) as raised:
        embedder("resnet18-no-maxpol")
    assert "did you mean 'resnet18-no-maxpool'" in raised.value.hint


# In a process of its own, which an overrun of the workspace would end.
NARROW = """
import torch
from torch import nn
from prunnet_export.network import Embedder
from prunnet_export.preprocessing import Preprocessing

torch.manual_seed(0)
images = torch.rand(16, 3, 56, 56)
for channels in (3, 4, 8, 12, 15):
    # The first layer gives the shortcut its narrow input.
    first, shortcut = nn.Conv2d(3, channels, 1, bias=False), nn.Conv2d(channels, 16, 1, stride=2, bias=False)
    backbone = nn.Sequential(first, shortcut)
    embedder = Embedder(backbone, features=16, dim=2, preprocessing=Preprocessing(crop=56, resize=56))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        loss = embedder.features(images.contiguous(memory_format=layout)).square().sum()
        found.append(torch.autograd.grad(loss, [first.weight, shortcut.weight]))
    torch.testing.assert_close(*found)
"""


def test_a_narrow_shortcut_learns_from_images_that_lie_channels_last() -> None:
    subprocess.run([sys.executable, "-c", NARROW], check=True)
