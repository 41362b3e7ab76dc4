"""Backbones that another package registers: trained, stored, read, cut and exported as those of timm."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from prunnet_export._errors import InvalidInput, UnknownName, UsageError
from prunnet_export.building import export_onnx
from prunnet_export.network import PrunableNetwork, build_embedder, load_checkpoint, load_weights
from prunnet_export.patterns import find_pattern
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training._loop import train
from tests._asserts import assert_one_line, assert_same_embedding, assert_same_tensors
from tests._backbone_package import our_backbones
from tests._inputs import cut, images, retrieval_data, tiny_recipe
from tests.building._run import run_onnx

__all__ = ["our_backbones"]

SMALL = Preprocessing(crop=16, resize=18)
pytestmark = pytest.mark.usefixtures("our_backbones")


def test_it_is_trained_stored_read_cut_and_exported(tmp_path: Path) -> None:
    recipe = tiny_recipe(backbone="our-small", backbone_options={"width": 24}, epochs=1)
    network = train(recipe, retrieval_data(), tmp_path / "run")
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded.config.backbone == "our-small"
    assert_same_tensors(loaded.network.state_dict(), network.state_dict())

    channel = find_pattern("channel", 4)
    [subnetwork] = channel.subnetworks(loaded.network, [0.3])
    assert 0.2 < subnetwork.capacity < 0.4
    small = cut(loaded.network, 0.3, channel).eval()
    assert small.projector.in_features < 24
    export_onnx(small, tmp_path / "model.onnx", size=(16, 16))
    batch = images(3, 16)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(small(batch))
    actual = torch.from_numpy(run_onnx(tmp_path / "model.onnx", batch))
    assert_same_embedding(actual, expected, tolerance=1e-4)


@pytest.mark.parametrize("name", ["our-small", "our-pooled"])
def test_the_number_of_features_is_found(name: str) -> None:
    embedder = build_embedder(name, dim=8, preprocessing=SMALL, options={"width": 12})
    assert embedder.projector.in_features == 12
    assert all(part.training for part in embedder.modules())
    assert int(embedder.get_buffer("norm.num_batches_tracked")) == 0
    assert not [name for name, value in embedder.named_buffers() if "tracked" in name and int(value)]
    assert embedder(images(2, 16)).shape == (2, 8)


def test_weights_fit_it_by_name(tmp_path: Path) -> None:
    source, target = (build_embedder("our-small", dim=8, preprocessing=SMALL) for _ in range(2))
    torch.save({"model": source.state_dict()}, tmp_path / "weights.pth")
    load_weights(target, tmp_path / "weights.pth")
    assert_same_tensors(target.backbone.state_dict(), source.backbone.state_dict())
    assert PrunableNetwork(target, size=(16, 16), scores="weights").scores()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("our-no-module", "its factory returns a str, not a torch.nn.Module"),
        ("our-two-outputs", "it returns a tuple, not a tensor"),
        ("our-tokens", r"it returns shape \(2, 4, 256\) for 2 images"),
        ("our-joined", r"it returns shape \(1, 4\) for 2 images"),
        ("our-nan", "it returns NaN or infinity"),
        ("our-double", "it returns torch.float64"),
        ("our-fails", r"cannot be built with \{\}: weights.bin is not here"),
        ("our-crashes", "it does not run on 16 x 16 px"),
    ],
)
def test_a_backbone_that_does_not_do_its_part_is_named(name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as raised:
        build_embedder(name, dim=8, preprocessing=SMALL)
    assert_one_line(raised.value)
    assert name in raised.value.message


def test_options_reach_it_and_others_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"our-small cannot be built with .*depth") as raised:
        build_embedder("our-small", dim=8, preprocessing=SMALL, options={"depth": 3})
    assert "options" in raised.value.hint


def test_an_entry_point_that_leads_nowhere() -> None:
    with pytest.raises(UsageError, match="'our-absent' cannot be loaded from our_backbones:absent") as raised:
        build_embedder("our-absent", dim=8, preprocessing=SMALL)
    assert_one_line(raised.value)


def test_its_name_is_suggested() -> None:
    with pytest.raises(UnknownName) as raised:
        build_embedder("our-smal", dim=8, preprocessing=SMALL)
    assert "did you mean 'our-small'" in raised.value.hint


def test_a_checkpoint_without_the_package_names_what_is_missing(
    tmp_path: Path, our_backbones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_recipe(backbone="our-small", backbone_options={}, epochs=1), retrieval_data(), tmp_path / "run")
    monkeypatch.setattr("sys.path", [place for place in sys.path if place != str(our_backbones)])
    with pytest.raises(UnknownName, match="unknown backbone 'our-small'") as raised:
        load_checkpoint(tmp_path / "run")
    assert_one_line(raised.value)
    assert "install the package that registers 'our-small' under prunnet_export.backbones" in raised.value.hint


def test_names_of_timm_are_those_of_timm(our_backbones: Path) -> None:
    file = our_backbones / "our_backbones-1.0.dist-info" / "entry_points.txt"
    file.write_text("[prunnet_export.backbones]\nresnet18 = our_backbones:small\n")
    module = build_embedder("resnet18", dim=8, preprocessing=SMALL).backbone
    assert type(module).__module__ == "timm.models.resnet"


def test_the_seed_decides_its_weights() -> None:
    def made(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        torch.manual_seed(seed)
        weight = build_embedder("our-small", dim=8, preprocessing=SMALL).backbone.get_parameter("0.weight")
        return weight.detach().numpy()

    np.testing.assert_array_equal(made(0), made(0))
    assert not np.array_equal(made(0), made(1))
