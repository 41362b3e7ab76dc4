"""The exported file computes what torch computes, folded, dynamic in the batch, and silent about the machine."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.exporting import export_onnx
from prunnet_export.network import BackboneOption, Normalised, PrunableNetwork
from prunnet_export.patterns import Subnetwork, cut, find_pattern, materialise
from prunnet_export.runtimes import find_runtime
from prunnet_export.verification._zeros import layers_in_place
from tests._asserts import assert_healthy, assert_one_line
from tests._inputs import TINY_RESNET, images, prunable, tiny_resnet

CROP = 64
BACKBONES = ("resnet18", "mobilenetv2_100", "vit_tiny_patch16_224", "convnext_atto")
SMALL: dict[str, dict[str, BackboneOption]] = {
    "resnet18": TINY_RESNET,
    "vit_tiny_patch16_224": {"depth": 1, "embed_dim": 32, "num_heads": 2},
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "resnext50_32x4d": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "cardinality": 4, "base_width": 32},
}
Array = npt.NDArray[np.float32]


@cache
def small(backbone: str) -> nn.Module:
    return cut(prunable(backbone, crop=CROP, gain=2**0.5), 0.5, find_pattern("channel"))


@cache
def tiny() -> PrunableNetwork:
    return tiny_resnet()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module", params=BACKBONES)
def exported(request: pytest.FixtureRequest, folder: Path) -> tuple[nn.Module, Path]:
    """A cut network and its file, exported once."""
    file = folder / f"{request.param}.onnx"
    export_onnx(small(request.param), file, crop=CROP)
    return small(request.param), file


def run(file: Path, batch: Tensor) -> Array:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [embeddings] = session.run(["embeddings"], {"images": batch.numpy()})
    result: Array = embeddings
    return result


def nodes(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node]


def shape(value: Any) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@torch.no_grad()
def test_equals_torch_at_any_batch(exported: tuple[nn.Module, Path]) -> None:
    module, file = exported
    for count in (1, 3):
        batch = images(count, CROP)
        expected = Normalised(module)(batch)
        actual = run(file, batch)
        np.testing.assert_allclose(actual, expected.numpy(), atol=1e-5, rtol=0)
        np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-5)
    assert_healthy(expected)


def test_batchnorm_is_folded(exported: tuple[nn.Module, Path]) -> None:
    assert "BatchNormalization" not in nodes(exported[1])


def test_the_interface_has_names_types_and_a_dynamic_batch(exported: tuple[nn.Module, Path]) -> None:
    graph = onnx.load(exported[1]).graph
    [image], [embedding] = graph.input, graph.output
    assert (image.name, embedding.name) == ("images", "embeddings")
    assert shape(image) == ["batch", 3, CROP, CROP]
    assert shape(embedding) == ["batch", 16]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_shapes_are_inferred_for_every_value(exported: tuple[nn.Module, Path]) -> None:
    graph = onnx.load(exported[1]).graph
    known = {value.name for value in [*graph.value_info, *graph.output]}
    assert {output for node in graph.node for output in node.output if output} <= known


def test_the_file_says_nothing_of_this_machine(exported: tuple[nn.Module, Path]) -> None:
    model = onnx.load(exported[1])
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")  # millions of random bytes spell any short word
    raw = model.SerializeToString()
    secrets = [str(Path.cwd()), str(Path.home()), str(Path(torch.__file__).parent), str(exported[1].parent)]
    secrets += [".py", "site-packages", "Traceback", socket.gethostname()]
    for secret in secrets:
        # A home of "/" or a host called "x" is no secret that could be found.
        assert len(secret) <= 2 or secret.encode() not in raw, secret
    user = os.environ.get("USER") or getpass.getuser()
    assert f"/{user}/".encode() not in raw


def test_a_file_passes_the_checker(exported: tuple[nn.Module, Path]) -> None:
    onnx.checker.check_model(onnx.load(exported[1]), full_check=True)


def test_a_channel_cut_makes_a_smaller_file(folder: Path) -> None:
    whole = folder / "whole.onnx"
    export_onnx(tiny().embedder, whole, crop=32)
    half = folder / "half.onnx"
    export_onnx(cut(tiny(), 0.5, find_pattern("channel"), channel_multiple=1), half, crop=32)
    assert half.stat().st_size < 0.7 * whole.stat().st_size


def test_zeros_stay_zeros(folder: Path) -> None:
    [chosen] = find_pattern("unstructured").subnetworks(tiny(), [0.3], channel_multiple=1)
    module = cut(tiny(), 0.3, find_pattern("unstructured"))
    file = folder / "zeros.onnx"
    export_onnx(module, file, crop=32)
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer]
    convolutions = {array.shape: 0 for array in stored if array.ndim == 4}
    for array in stored:
        if array.ndim == 4:
            convolutions[array.shape] += int((array == 0).sum())
    expected = dict.fromkeys(convolutions, 0)
    for mask in chosen.masks().values():
        expected[tuple(mask.shape)] += int((~mask).sum())
    assert convolutions == expected


@torch.no_grad()
def test_zeros_in_place_equal_torch(folder: Path) -> None:
    module = cut(tiny(), 0.5, find_pattern("unstructured"))
    file = folder / "unstructured.onnx"
    export_onnx(module, file, crop=32)
    batch = images(3, 32)
    np.testing.assert_allclose(run(file, batch), Normalised(module)(batch).numpy(), atol=1e-5, rtol=0)


@cache
def exported_in(pattern: str, backbone: str, folder: Path) -> tuple[Subnetwork, nn.Module, Path]:
    """A small network with half of its weights, and its file."""
    network = prunable(backbone, crop=32, options=SMALL[backbone])
    [chosen] = find_pattern(pattern).subnetworks(network, [0.5], channel_multiple=1)
    module = materialise(network, chosen)
    file = folder / f"{backbone}-{pattern.replace(':', '-')}.onnx"
    export_onnx(module, file, crop=32)
    return chosen, module, file


def holds(pattern: str, weight: npt.NDArray[np.generic]) -> bool:
    """Whether a weight [K, C, ...] has the pattern, and not for want of zeros."""
    rows = weight.reshape(*weight.shape[:2], -1)
    if (weight != 0).all():
        return False
    if pattern == "2:4":
        return weight.shape[1] % 4 == 0 and bool(
            ((rows.reshape(len(rows), -1, 4, rows.shape[2]) != 0).sum(2) <= 2).all()
        )
    return all(((block == 0) == (block[:1] == 0)).all() for block in np.split(rows, range(4, len(rows), 4)))


@pytest.mark.parametrize(
    ("pattern", "backbone"),
    [
        ("2:4", "resnet18"),
        ("2:4", "vit_tiny_patch16_224"),
        ("block", "convnext_atto"),
        ("block", "vit_tiny_patch16_224"),
    ],
)
@torch.no_grad()
def test_the_shipped_file_has_the_pattern(pattern: str, backbone: str, folder: Path) -> None:
    chosen, module, file = exported_in(pattern, backbone, folder)
    batch = images(3, 32)
    np.testing.assert_allclose(run(file, batch), Normalised(module)(batch).numpy(), atol=1e-5, rtol=0)
    stored = [tensor for tensor in find_runtime("onnxruntime").read_weights(file).values() if tensor.ndim in {2, 4}]
    # Linear weights may be stored transposed.
    having = [one for one in stored if holds(pattern, one) or (one.ndim == 2 and holds(pattern, one.T))]
    expected = [mask for mask in chosen.masks().values() if not bool(mask.all())]
    assert len(expected) >= 4
    assert sorted(one.size for one in having) == sorted(mask.numel() for mask in expected)
    assert sum(int((one == 0).sum()) for one in having) == chosen.total - chosen.kept


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "mnn"])
@pytest.mark.parametrize(
    ("pattern", "backbone"),
    [("2:4", "vit_tiny_patch16_224"), ("block", "convnext_atto"), ("unstructured", "resnext50_32x4d")],
)
def test_each_runtime_has_every_zero_in_its_place(
    runtime: str, pattern: str, backbone: str, folder: Path, tmp_path: Path
) -> None:
    chosen, _, file = exported_in(pattern, backbone, folder)
    engine = find_runtime(runtime)
    [entry, *_] = engine.compile(file, tmp_path, precision="fp32")
    masks = [mask.numpy() for mask in chosen.masks().values() if not bool(mask.all())]
    stored = engine.read_weights(tmp_path / entry).values()
    assert layers_in_place(masks, stored) == len(masks)
    assert layers_in_place([~mask for mask in masks], stored) == 0


def test_same_network_same_bytes(folder: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        export_onnx(tiny().embedder, folder / name, crop=32)
    assert (folder / "one.onnx").read_bytes() == (folder / "two.onnx").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    network = tiny_resnet()
    with torch.no_grad():
        network.embedder.projector.bias[0] = value
    with pytest.raises(InvalidInput, match=r"projector\.bias") as raised:
        export_onnx(network.embedder, tmp_path / "x.onnx", crop=32)
    assert_one_line(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_network_that_looks_at_its_data(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return batch.mean((2, 3)) if float(batch.sum()) > 0 else batch.amax((2, 3))

    with pytest.raises(InvalidInput, match="cannot be traced") as raised:
        export_onnx(Branching(), tmp_path / "x.onnx", crop=8)
    assert_one_line(raised.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as raised:
        export_onnx(tiny().embedder, tmp_path / "file" / "x.onnx", crop=32)
    assert_one_line(raised.value)


def test_nothing_is_printed_and_the_module_stays_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = tiny_resnet().embedder
    export_onnx(module, tmp_path / "x.onnx", crop=32)
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["x.onnx"]
