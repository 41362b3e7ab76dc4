"""Each supported backbone, small: it trains, is cut and exported in every pattern, or says why it is not."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export.building import export_onnx
from prunnet_export.network import Normalised, PrunableNetwork, build_embedder
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import PATTERNS, Subnetwork, find_pattern, materialise
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training._batches import Batch
from prunnet_export.training._gradients import IntegratedGradients
from prunnet_export.training._integration import ConflictAware
from prunnet_export.training._objectives import Classification
from tests._asserts import assert_healthy, assert_one_line, assert_same_embedding
from tests._inputs import cut, images, prunable
from tests._reference import masked_embedder

CROP = 32
RESNET: dict[str, BackboneOption] = {"channels": [8, 16, 24, 32], "layers": [1, 1, 1, 1]}
CONVNEXT: dict[str, BackboneOption] = {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
SMALL: dict[str, dict[str, BackboneOption]] = {
    "resnet18": RESNET,
    "resnet18-no-maxpool": RESNET,
    "resnet50": RESNET,
    "resnext50_32x4d": {**RESNET, "cardinality": 4, "base_width": 32},
    "mobilenetv2_100": {"depth_multiplier": 0.25},
    "convnext_atto": CONVNEXT,
    "convnextv2_atto": CONVNEXT,
    "vit_tiny_patch16_224": {"patch_size": 8, "embed_dim": 48, "depth": 2},
    # Windows of 3 divide neither stage's side: they are padded, shifted and masked.
    "swin_tiny_patch4_window7_224": {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3},
}
SWIN = SMALL["swin_tiny_patch4_window7_224"]
# Patterns that keep every shape give the dense graph with zeros in it, so one backbone stands for them.
EXPORTED = [
    (backbone, pattern) for backbone in SMALL for pattern in PATTERNS if pattern == "channel" or backbone == "resnet18"
]


def network(backbone: str) -> PrunableNetwork:
    return prunable(backbone, crop=CROP, dim=8, options=SMALL[backbone], gain=2**0.5)


@cache
def unchanged(backbone: str) -> PrunableNetwork:
    return network(backbone)


def subnetworks(source: PrunableNetwork, pattern: str, *capacities: float) -> list[Subnetwork]:
    return find_pattern(pattern, 1).subnetworks(source, capacities)


def three_steps(source: PrunableNetwork, pattern: str) -> None:
    source.train()
    classifier = nn.Linear(8, 3)
    optimizer = torch.optim.SGD([*source.parameters(), *classifier.parameters()], lr=0.05, momentum=0.9)
    gradients = IntegratedGradients(source, Classification(classifier), ConflictAware("progressive", 0.5))
    batch = Batch(images(6, CROP), torch.arange(6) % 3)
    for seed in range(3):
        losses = gradients(subnetworks(source, pattern, 0.5), [batch], generator=torch.Generator().manual_seed(seed))
        assert torch.tensor(losses).isfinite().all()
        for name, parameter in source.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
        nn.utils.clip_grad_norm_(source.parameters(), 100)
        optimizer.step()
    source.eval()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("backbone", SMALL)
def test_trains_and_moves_every_score(backbone: str, pattern: str) -> None:
    source = network(backbone)
    before = {name: score.detach().clone() for name, score in source.scores().items()}
    three_steps(source, pattern)
    for name, score in source.scores().items():
        assert not torch.equal(score, before[name]), name
    [chosen] = subnetworks(source, pattern, 0.5)
    with torch.no_grad():
        assert bool(materialise(source, chosen)(images(3, CROP)).isfinite().all())


@pytest.mark.parametrize(("backbone", "pattern"), EXPORTED)
@torch.no_grad()
def test_exported_cut_is_the_torch_cut(backbone: str, pattern: str, tmp_path: Path) -> None:
    [chosen] = subnetworks(unchanged(backbone), pattern, 0.5)
    small = materialise(unchanged(backbone), chosen)
    export_onnx(small, tmp_path / "small.onnx", size=(CROP, CROP))
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"), providers=["CPUExecutionProvider"])
    batch = images(3, CROP)
    [actual] = session.run(["embeddings"], {"images": batch.numpy()})
    expected = Normalised(small)(batch)
    assert_healthy(expected)
    assert float(F.cosine_similarity(torch.from_numpy(actual), expected).min()) > 0.999


@pytest.mark.parametrize("capacity", [0.8, 0.5, 0.3])
@pytest.mark.parametrize("backbone", SMALL)
@torch.no_grad()
def test_channel_cut_equals_the_masked_network(backbone: str, capacity: float) -> None:
    source = unchanged(backbone)
    [chosen] = subnetworks(source, "channel", capacity)
    batch = images(2, CROP).double()
    expected = masked_embedder(source, chosen)
    restrict_response_norms(expected, chosen)
    # In double precision a difference is a wrong index and not a rounding.
    small = materialise(source, chosen).double()(batch)
    assert_same_embedding(small, expected.double()(batch), tolerance=1e-9)


@pytest.mark.parametrize("backbone", SMALL)
def test_every_layer_loses_outputs_and_inputs(backbone: str) -> None:
    [chosen] = subnetworks(unchanged(backbone), "channel", 0.3)
    for index, (name, mask) in enumerate(chosen.masks().items()):
        assert not bool(mask.flatten(1).any(1).all()), name
        layer: Any = unchanged(backbone).embedder.get_submodule(name.removesuffix(".weight"))
        if index and getattr(layer, "groups", 1) == 1:  # the first layer reads the image; grouped inputs have no axis
            assert not bool(mask.transpose(0, 1).flatten(1).any(1).all()), name


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("backbone", SMALL)
@torch.no_grad()
def test_what_training_runs_is_what_is_cut(backbone: str, pattern: str) -> None:
    source = unchanged(backbone)
    [chosen] = subnetworks(source, pattern, 0.5)
    batch = images(2, CROP)
    gathered = chosen.gather(source.tensors())
    trained = torch.func.functional_call(chosen.structure.eval(), gathered, (batch,))
    assert torch.equal(trained, materialise(source, chosen)(batch))


def restrict_response_norms(embedder: nn.Module, chosen: Subnetwork) -> None:
    """Let each GlobalResponseNorm average over the channels that stay, as a LayerNorm of the reference does."""
    masks = chosen.masks()
    for name, module in embedder.named_modules():
        if type(module).__name__ == "GlobalResponseNorm":
            kept = masks[f"{name.removesuffix('grn')}fc2.weight"].flatten(2).any(2).any(0)
            average_over(module, kept)


def average_over(norm: Any, kept: Tensor) -> None:
    def forward(x: Tensor) -> Tensor:
        size = x.norm(dim=norm.spatial_dim, keepdim=True)
        mean = size.movedim(norm.channel_dim, -1)[..., kept].mean(-1, keepdim=True).movedim(-1, norm.channel_dim)
        scaled = x * size / (mean + norm.eps)
        weight, bias = norm.weight.view(norm.wb_shape), norm.bias.view(norm.wb_shape)
        result: Tensor = x + bias + weight * scaled
        return result

    norm.forward = forward


@torch.no_grad()
def test_response_norms_average_over_what_stays() -> None:
    # Dropped channels are not the same as zeroed ones here: the mean of the norms is over fewer.
    source = unchanged("convnextv2_atto")
    [chosen] = subnetworks(source, "channel", 0.5)
    batch = images(2, CROP).double()
    small = materialise(source, chosen).double()(batch)
    zeroed = masked_embedder(source, chosen).double()(batch)
    assert float((small - zeroed).abs().max()) > 1e-3 * float(zeroed.abs().max())


@torch.no_grad()
def test_what_the_trace_misreads_stays_whole() -> None:
    # EdgeNeXt splits the streams of its later stages among depthwise convolutions, which the trace miscounts.
    source = prunable("edgenext_xx_small", crop=CROP)
    [chosen] = subnetworks(source, "channel", 0.4)
    batch = images(2, CROP).double()
    small = materialise(source, chosen)
    assert small.get_parameter("projector.weight").shape == source.embedder.projector.weight.shape
    expected = masked_embedder(source, chosen).double()(batch)
    assert_same_embedding(small.double()(batch), expected, tolerance=1e-9)


def test_a_backbone_without_a_channel_to_cut_says_so() -> None:
    options: dict[str, BackboneOption] = {"depth": 1, "embed_dim": 48, "num_heads": 3, "patch_size": 8}
    source = prunable("eva02_tiny_patch14_224", crop=CROP, options=options).train()
    with pytest.raises(UnsupportedPattern, match="cannot be cut") as raised:
        subnetworks(source, "channel", 0.5)
    assert_one_line(raised.value)
    assert "unstructured" in raised.value.hint
    assert source.embedder.training
    [masked] = subnetworks(source, "unstructured", 0.5)
    assert 0.49 < masked.capacity < 0.51


@pytest.mark.parametrize("crop", [32, 36, 56, 60])
@torch.no_grad()
def test_swin_takes_sides_that_its_windows_do_not_divide(crop: int) -> None:
    source = prunable("swin_tiny_patch4_window7_224", crop=crop, options={**SWIN, "window_size": 7})
    small = cut(source, 0.5, find_pattern("channel", 2))
    embedding = small(images(3, crop))
    assert embedding.shape == (3, 16)
    assert_healthy(embedding)


@torch.no_grad()
def test_swin_features_are_pooled_over_the_side() -> None:
    # forward_features gives [b, h, w, c]; what the projector reads is the mean over h and w.
    embedder = deepcopy(unchanged("swin_tiny_patch4_window7_224").embedder)
    backbone: Any = embedder.backbone
    batch = images(2, CROP)
    features = backbone.forward_features(batch)
    assert features.shape == (2, 4, 4, 32)
    torch.testing.assert_close(backbone(batch), features.mean((1, 2)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_heads": [2]},  # fewer than stages
        {"num_heads": [0, 4]},
        {"window_size": 0},
        {"window_size": [4, 4, 4]},
        {"embed_dim": -1},
        {"img_size": 64},  # another side than the images have
        {"patch_size": 64},
    ],
)
def test_swin_options_that_do_not_fit(wrong: dict[str, BackboneOption]) -> None:
    with pytest.raises(InvalidInput, match="swin_tiny_patch4_window7_224") as raised:
        build_embedder(
            "swin_tiny_patch4_window7_224",
            dim=8,
            preprocessing=Preprocessing(crop=CROP, resize=CROP),
            options={**SWIN, **wrong},
        )
    assert_one_line(raised.value)
