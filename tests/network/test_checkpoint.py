"""Checkpoints: what is written is what is read, and nothing hostile is loaded."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput, PrunnetError, StorageError, UnknownName
from prunnet_export.network import PrunableNetwork, load_checkpoint, save_checkpoint
from prunnet_export.network_config import CONFIG_FILE, WEIGHTS_FILE, DataSource, NetworkConfig, read_config
from prunnet_export.patterns import Channel, allocate
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import TINY_RESNET, images, prunable, tiny_resnet

PREPROCESSING = Preprocessing(crop=32, resize=36, mean=(0.1, 0.2, 0.3))


def save(folder: Path, network: PrunableNetwork, **changed: Any) -> NetworkConfig:
    fields: dict[str, Any] = {
        "backbone": "resnet18",
        "backbone_options": TINY_RESNET,
        "preprocessing": PREPROCESSING,
        "data": DataSource(source="glyphs", seed=3),
        "training": {"epochs": 2, "capacities": [0.5, 0.2]},
    }
    return save_checkpoint(folder, network, **{**fields, **changed})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "run", tiny_resnet())
    return tmp_path / "run"


def test_a_variant_is_rebuilt_by_its_name(tmp_path: Path) -> None:
    variant = prunable("resnet18-no-maxpool", crop=32, dim=8, options=TINY_RESNET)
    save(tmp_path / "run", variant, backbone="resnet18-no-maxpool")
    restored = load_checkpoint(tmp_path / "run").network
    assert_same_tensors(restored.state_dict(), variant.state_dict())
    assert isinstance(restored.embedder.get_submodule("backbone.maxpool"), torch.nn.Identity)


def test_ranks_are_kept(tmp_path: Path) -> None:
    network = tiny_resnet()
    allocate(network, [images(8, 32)])
    for name, dtype in (("single", torch.float32), ("half", torch.float16)):
        save(tmp_path / name, network, dtype=dtype)
        restored = load_checkpoint(tmp_path / name).network
        assert_same_tensors(restored.unit_ranks(), network.unit_ranks())
        assert Channel().widths(restored, [0.4]) == Channel().widths(network, [0.4])


def test_a_network_without_ranks_has_none(folder: Path) -> None:
    assert load_checkpoint(folder).network.unit_ranks() == {}


def test_ranks_of_no_group_are_refused_at_a_cut(folder: Path) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_FILE).read_bytes())
    tensors["network._ranks.backbone/conv1"] = torch.zeros(2, 3)
    rewrite_weights(folder, safetensors.torch.save(tensors))
    with pytest.raises(InvalidInput, match="of other channel groups") as raised:
        Channel().widths(load_checkpoint(folder).network, [0.5])
    assert_one_line(raised.value)


@pytest.mark.parametrize("name", ["", "training", "forward", "_buffers", "backbone"])
def test_a_tensor_that_only_looks_like_ranks_is_unexpected(folder: Path, name: str) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_FILE).read_bytes())
    tensors[f"network._ranks.{name}"] = torch.zeros(2)
    rewrite_weights(folder, safetensors.torch.save(tensors))
    with pytest.raises(InvalidInput, match="unexpected tensor") as raised:
        load_checkpoint(folder)
    assert_one_line(raised.value)


def rewrite_config(folder: Path, **changed: object) -> None:
    file = folder / CONFIG_FILE
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changed}), "utf-8")


def rewrite_weights(folder: Path, raw: bytes) -> None:
    """Replace the weights and let the configuration agree, as somebody hostile would."""
    (folder / WEIGHTS_FILE).write_bytes(raw)
    rewrite_config(folder, weights_sha256=hashlib.sha256(raw).hexdigest())


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = safetensors.torch.load((folder / WEIGHTS_FILE).read_bytes())
    change(tensors)
    rewrite_weights(folder, safetensors.torch.save(tensors))


def assert_refused(folder: Path, match: str, kind: type[PrunnetError] = InvalidInput) -> None:
    with pytest.raises(kind, match=match) as raised:
        load_checkpoint(folder)
    assert_one_line(raised.value)


class TestRoundTrip:
    def test_network_and_configuration(self, tmp_path: Path) -> None:
        network = tiny_resnet()
        extra = {"classifier.weight": torch.randn(3, 8)}
        config = save(tmp_path, network, extra=extra)
        loaded = load_checkpoint(tmp_path)
        assert loaded.config == config == read_config(tmp_path)
        assert loaded.folder == tmp_path
        assert_same_tensors(loaded.network.state_dict(), network.state_dict())
        assert_same_tensors(loaded.extra, extra)
        assert not loaded.network.training
        assert loaded.network.size == (32, 32)

    @torch.no_grad()
    def test_embeddings(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        network = tiny_resnet()
        save(tmp_path, network, preprocessing=Preprocessing(crop=32, resize=36))
        batch = images(2, 32)
        assert torch.equal(load_checkpoint(tmp_path).network(batch), network(batch))

    def test_half_precision_is_half_the_size_and_loads_as_single(self, tmp_path: Path) -> None:
        network = tiny_resnet()
        save(tmp_path / "single", network)
        save(tmp_path / "half", network, dtype=torch.float16)
        sizes = {name: (tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("single", "half")}
        assert sizes["half"] < 0.6 * sizes["single"]
        loaded = load_checkpoint(tmp_path / "half").network
        for name, tensor in loaded.state_dict().items():
            original = network.state_dict()[name]
            assert tensor.dtype == original.dtype
            if tensor.is_floating_point():
                assert torch.equal(tensor, original.half().float())
            else:
                assert torch.equal(tensor, original)

    def test_the_hash_names_the_weights(self, folder: Path) -> None:
        raw = (folder / WEIGHTS_FILE).read_bytes()
        assert read_config(folder).weights_sha256 == hashlib.sha256(raw).hexdigest()

    def test_same_network_same_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            save(tmp_path / name, tiny_resnet())
        for file in (WEIGHTS_FILE, CONFIG_FILE):
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()

    def test_saving_again_replaces_and_leaves_nothing_beside(self, folder: Path) -> None:
        save(folder, tiny_resnet(seed=1))
        assert sorted(file.name for file in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
        assert_same_tensors(load_checkpoint(folder).network.state_dict(), tiny_resnet(seed=1).state_dict())

    def test_configuration_is_readable(self, folder: Path) -> None:
        text = (folder / CONFIG_FILE).read_text("utf-8")
        assert text.endswith("}\n")
        assert '  "backbone": "resnet18",\n' in text


class TestRefused:
    @pytest.mark.parametrize("missing", [CONFIG_FILE, WEIGHTS_FILE])
    def test_missing_file(self, folder: Path, missing: str) -> None:
        (folder / missing).unlink()
        assert_refused(folder, f"{missing} is missing")

    def test_missing_folder(self, tmp_path: Path) -> None:
        assert_refused(tmp_path / "nowhere", "holds no network")

    @pytest.mark.parametrize("length", [0, 7, 100, 5000])
    def test_truncated_weights(self, folder: Path, length: int) -> None:
        raw = (folder / WEIGHTS_FILE).read_bytes()
        (folder / WEIGHTS_FILE).write_bytes(raw[:length])
        assert_refused(folder, "sha256 differs")
        rewrite_weights(folder, raw[:length])
        assert_refused(folder, "not a safetensors file")

    def test_one_bit_flipped(self, folder: Path) -> None:
        raw = bytearray((folder / WEIGHTS_FILE).read_bytes())
        raw[-1] ^= 1
        (folder / WEIGHTS_FILE).write_bytes(raw)
        assert_refused(folder, "sha256 differs")

    @pytest.mark.parametrize(
        "raw", [b"PK\x03\x04" + bytes(50), b"\xff" * 64, pickle.dumps({"a": 1}), (2**40).to_bytes(8, "little") + b"{}"]
    )
    def test_foreign_weights(self, folder: Path, raw: bytes) -> None:
        rewrite_weights(folder, raw)
        assert_refused(folder, "not a safetensors file")

    def test_a_pickle_is_not_executed(self, folder: Path, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[object, tuple[object, ...]]:
                return Path.touch, (tmp_path / "executed",)

        rewrite_weights(folder, pickle.dumps(Bomb()))
        assert_refused(folder, "not a safetensors file")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_weights_that_are_not_finite(self, folder: Path, value: float) -> None:
        def poison(tensors: dict[str, Tensor]) -> None:
            tensors["network.embedder.backbone.conv1.weight"][0, 0, 0, 0] = value

        change_tensors(folder, poison)
        assert_refused(folder, "conv1.weight' holds NaN or infinity")

    def test_single_precision_beyond_half(self, tmp_path: Path) -> None:
        network = tiny_resnet()
        with torch.no_grad():
            network.embedder.projector.weight[0, 0] = 1e6
        with pytest.raises(InvalidInput, match="float16"):
            save(tmp_path, network, dtype=torch.float16)
        assert not list(tmp_path.iterdir())

    def test_a_diverged_network_is_not_written(self, tmp_path: Path) -> None:
        network = tiny_resnet()
        with torch.no_grad():
            network.embedder.projector.bias[0] = float("nan")
        with pytest.raises(InvalidInput, match="NaN") as raised:
            save(tmp_path, network)
        assert_one_line(raised.value)
        assert not list(tmp_path.iterdir())

    def test_another_backbone(self, folder: Path) -> None:
        rewrite_config(folder, backbone="resnet34")
        assert_refused(folder, "is missing")
        rewrite_config(folder, backbone="resnet10t")
        assert_refused(folder, "network.safetensors")

    def test_another_width(self, folder: Path) -> None:
        rewrite_config(folder, backbone_options={"channels": [8, 16, 24, 40]})
        assert_refused(folder, r"has shape .*, expected")
        rewrite_config(folder, backbone_options=TINY_RESNET, embedding_dim=9)
        assert_refused(folder, r"has shape .*, expected")

    def test_a_missing_and_a_surplus_tensor(self, folder: Path) -> None:
        name = "network.embedder.backbone.conv1.weight"
        change_tensors(folder, lambda tensors: tensors.update({"network.surplus": tensors[name].clone()}))
        assert_refused(folder, "unexpected tensor 'surplus'")
        change_tensors(folder, lambda tensors: (tensors.pop("network.surplus"), tensors.pop(name)))
        assert_refused(folder, "conv1.weight' is missing")

    @pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "pretrained_cfg_overlay"])
    def test_a_configuration_that_asks_to_fetch_weights(self, folder: Path, option: str) -> None:
        rewrite_config(folder, backbone_options={option: True})
        assert_refused(folder, f"{option}' is not allowed")

    def test_a_path_as_an_option(self, folder: Path) -> None:
        rewrite_config(folder, backbone_options={"checkpoint_path": "weights.pth"})
        assert_refused(folder, "config.json")

    def test_unknown_backbone(self, folder: Path) -> None:
        rewrite_config(folder, backbone="resnet1x")
        assert_refused(folder, "unknown backbone", UnknownName)

    def test_a_backbone_from_a_hub(self, folder: Path) -> None:
        rewrite_config(folder, backbone="hf-hub:someone/something")
        assert_refused(folder, "unknown backbone", UnknownName)

    @pytest.mark.parametrize(
        "changed",
        [
            {"version": 2},
            {"format": "something-else"},
            {"surprise": 1},
            {"embedding_dim": "eight"},
            {"preprocessing": {"crop": 40, "resize": 32}},
            {"preprocessing": {"crop": 32, "resize": 32, "std": [0, 1, 1]}},
            {"preprocessing": None},
        ],
    )
    def test_configuration_with_a_wrong_field(self, folder: Path, changed: dict[str, object]) -> None:
        rewrite_config(folder, **changed)
        assert_refused(folder, "config.json")

    @pytest.mark.parametrize("dim", [0, -3])
    def test_an_embedding_without_length(self, folder: Path, dim: int) -> None:
        rewrite_config(folder, embedding_dim=dim)
        assert_refused(folder, "embedding_dim|embedding")

    @pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"backbone": 1}', b"not json"])
    def test_configuration_that_is_none(self, folder: Path, raw: bytes) -> None:
        (folder / CONFIG_FILE).write_bytes(raw)
        assert_refused(folder, "config.json")

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StorageError) as raised:
            save(tmp_path / "file" / "run", tiny_resnet())
        assert_one_line(raised.value)
