"""The dense embedder: shapes, standardisation, unit vectors, and what a configuration may not ask for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export.network import BackboneOption, Embedder, Normalised, build_embedder
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line
from tests._inputs import TINY_RESNET, images

SMALL = Preprocessing(crop=32, resize=32)


def embedder(backbone: str = "resnet18", **options: BackboneOption) -> Embedder:
    options = options or (dict(TINY_RESNET) if backbone == "resnet18" else {})
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
    "option", ["pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"]
)
def test_weights_are_never_fetched(option: str) -> None:
    with pytest.raises(InvalidInput, match=option) as raised:
        build_embedder("resnet18", dim=8, preprocessing=SMALL, options={option: True})
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


def test_side_of_a_transformer_can_be_given() -> None:
    module = embedder("vit_tiny_patch16_224", img_size=48)
    assert module(images(2, 48)).shape == (2, 8)
