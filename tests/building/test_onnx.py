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
import pytest
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.building import export_onnx
from prunnet_export.building._onnx import _strip
from prunnet_export.network import Normalised, PrunableNetwork
from prunnet_export.patterns import find_pattern
from tests._asserts import assert_healthy, assert_one_line
from tests._inputs import cut, images, prunable, tiny_resnet
from tests.building._run import run_onnx

CROP = 64
BACKBONES = ("resnet18", "mobilenetv2_100", "vit_tiny_patch16_224", "convnext_atto")
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
    export_onnx(small(request.param), file, size=(CROP, CROP))
    return small(request.param), file


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
        actual = run_onnx(file, batch)
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


def test_no_part_of_a_model_keeps_notes() -> None:
    note = "/home/somebody/network.py"

    def identity() -> onnx.NodeProto:
        node = onnx.helper.make_node("Identity", ["x"], ["y"], doc_string=note)
        node.metadata_props.add(key="stack_trace", value=note)
        return node

    value = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1], doc_string=note)
    branch = onnx.helper.make_graph([identity()], "branch", [], [value], doc_string=note)
    choice = onnx.helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    function = onnx.helper.make_function("own", "f", ["x"], ["y"], [identity()], [], doc_string=note)
    model = onnx.helper.make_model(onnx.helper.make_graph([choice], "g", [], []), functions=[function], doc_string=note)
    assert model.SerializeToString().count(note.encode()) > 6
    _strip(model)
    assert note.encode() not in model.SerializeToString()
    assert [node.op_type for node in model.functions[0].node] == ["Identity"]


def test_a_file_passes_the_checker(exported: tuple[nn.Module, Path]) -> None:
    onnx.checker.check_model(onnx.load(exported[1]), full_check=True)


def test_a_channel_cut_makes_a_smaller_file(folder: Path) -> None:
    whole = folder / "whole.onnx"
    export_onnx(tiny().embedder, whole, size=(32, 32))
    half = folder / "half.onnx"
    export_onnx(cut(tiny(), 0.5, find_pattern("channel", 1)), half, size=(32, 32))
    assert half.stat().st_size < 0.7 * whole.stat().st_size


def test_same_network_same_bytes(folder: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        export_onnx(tiny().embedder, folder / name, size=(32, 32))
    assert (folder / "one.onnx").read_bytes() == (folder / "two.onnx").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    network = tiny_resnet()
    with torch.no_grad():
        network.embedder.projector.bias[0] = value
    with pytest.raises(InvalidInput, match=r"projector\.bias") as raised:
        export_onnx(network.embedder, tmp_path / "x.onnx", size=(32, 32))
    assert_one_line(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_network_that_looks_at_its_data(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return batch.mean((2, 3)) if float(batch.sum()) > 0 else batch.amax((2, 3))

    with pytest.raises(InvalidInput, match="cannot be traced") as raised:
        export_onnx(Branching(), tmp_path / "x.onnx", size=(8, 8))
    assert_one_line(raised.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as raised:
        export_onnx(tiny().embedder, tmp_path / "file" / "x.onnx", size=(32, 32))
    assert_one_line(raised.value)


def test_nothing_is_printed_and_the_module_stays_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = tiny_resnet().embedder
    export_onnx(module, tmp_path / "x.onnx", size=(32, 32))
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["x.onnx"]
