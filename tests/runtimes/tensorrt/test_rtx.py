from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper
from torch import nn

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.building import export_onnx
from prunnet_export.evaluating._zeros import layers_in_place
from prunnet_export.patterns import find_pattern
from prunnet_export.runtimes import CompileInputs, Model, find_runtime
from prunnet_export.runtimes.tensorrt import TensorRtRtx, _rtx
from prunnet_export.runtimes.tensorrt._build import Built
from prunnet_export.runtimes.tensorrt._cuda import Gpu
from prunnet_export.runtimes.tensorrt._log import SparseLayers
from prunnet_export.runtimes.tensorrt._rtx import _capabilities, _save_kernels
from tests._asserts import assert_one_line
from tests._inputs import images
from tests.runtimes._graphs import exported, graph_of, load, run, small_network

engine = pytest.importorskip("tensorrt_rtx")
FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
EVERY = ["80", "86", "89", "120", "121"]


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """A small ResNet-18 with 2:4 weights, as it is exported."""
    file = tmp_path / "subnetwork.onnx"
    file.write_bytes(exported("resnet18"))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compiled").mkdir()
    return tmp_path / "compiled"


def options(capabilities: str) -> CompileInputs:
    calibration = [images(4, 32, seed=seed).numpy() for seed in range(4)]
    return CompileInputs(images=lambda: calibration, options={"compute_capabilities": capabilities})


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_is_built_without_a_gpu(
    precision: str, resnet: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = TensorRtRtx()
    names = runtime.compile(resnet, folder, precision=precision, inputs=options("86,89"))
    assert names == ("model.engine", "model.onnx", "engine.json")
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)
    assert json.loads((folder / "engine.json").read_bytes()) == {
        "runtime": "tensorrt-rtx",
        "version": runtime.version(),
        "precision": precision,
        "compute_capabilities": ["86", "89"],
        "device": None,
        "sparse_eligible": None,  # this engine does not say
        "sparse_chosen": None,
    }
    assert (folder / "model.engine").stat().st_size > 100_000
    assert runtime.built(Model(folder / names[0], "tensorrt-rtx"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "built"),
    [("86", ["86"]), ("120, 80", ["80", "120"]), ("89,89", ["89"]), ("75", ["75"]), (None, EVERY)],
)
def test_compute_capabilities_are_those_that_were_asked_for(asked: str | None, built: list[str]) -> None:
    chosen = _capabilities(engine, {} if asked is None else {"compute_capabilities": asked})
    assert list(chosen) == built
    assert [member.name for member in chosen.values()] == [f"SM{number}" for number in built]


@pytest.mark.parametrize("asked", ["", "87", "8.6", "86,", "86;89", "SM86", "-1"])
def test_unknown_compute_capabilities_are_refused(asked: str, resnet: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="builds for no compute capability") as raised:
        TensorRtRtx().compile(resnet, folder, precision="fp32", inputs=options(asked))
    assert_one_line(raised.value)
    assert "75, 80, 86, 89, 120, 121" in raised.value.hint
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.9999), ("int8", 0.99)])
def test_the_twin_computes_what_was_exported(precision: str, least: float, resnet: Path, folder: Path) -> None:
    runtime = TensorRtRtx()
    [name, *_] = runtime.compile(resnet, folder, precision=precision, inputs=options("86"))
    twin = runtime.twin(Model(folder / name, "tensorrt-rtx", precision))
    assert twin is not None
    batch = images(3, 32).numpy()
    there = find_runtime(twin.runtime).open(twin).run(batch)
    assert (there * run(load(resnet.read_bytes()), batch)).sum(1).min() > least


@pytest.mark.parametrize(("precision", "kind"), [("fp16", np.float16), ("int8", np.int8)])
def test_weights_are_typed_and_zeros_in_their_places(precision: str, kind: type, resnet: Path, folder: Path) -> None:
    runtime = TensorRtRtx()
    [name, *_] = runtime.compile(resnet, folder, precision=precision, inputs=options("86"))
    weights = [one for one in runtime.read_weights(Model(folder / name, "tensorrt-rtx")).values() if one.dtype == kind]
    [chosen] = find_pattern("2:4", 1).subnetworks(small_network("resnet18"), [0.5])
    masks = [mask.numpy() for mask in chosen.masks().values()]
    assert len(weights) == len(masks) + 1  # the projector
    assert layers_in_place(masks, weights) == len(masks)
    assert sum(int((one == 0).mean() > 0.45) for one in weights) == 20


def test_depthwise_layers_with_silu_are_fp16_in_int8(tmp_path: Path, folder: Path) -> None:
    """An engine is built from the file too: the builder takes fp16 between layers in INT8."""
    layers = [nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8), nn.SiLU(), nn.Conv2d(8, 8, 1)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    export_onnx(module, tmp_path / "m.onnx", size=(32, 32))
    TensorRtRtx().compile(tmp_path / "m.onnx", folder, precision="int8", inputs=options("86"))
    model = load((folder / "model.onnx").read_bytes())
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    by_type = [(node.op_type, kinds.get(node.output[0])) for node in model.graph.node]
    assert [kind for name, kind in by_type if name == "Conv"] == [FLOAT, FLOAT16, FLOAT]
    assert [kind for name, kind in by_type if name == "Sigmoid"] == [FLOAT, FLOAT16]
    batch = images(3, 32).numpy()
    found, exact = run(model, batch), run(load((tmp_path / "m.onnx").read_bytes()), batch)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("given", [None, CompileInputs(images=lambda: [images(2, 32).numpy()])])
def test_int8_wants_images(given: CompileInputs | None, resnet: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"real images|2 calibration images"):
        TensorRtRtx().compile(resnet, folder, precision="int8", inputs=given)


@pytest.mark.parametrize(("pattern", "capacity"), [("2:4", 0.5), ("channel+2:4", 0.3)])
def test_nvidia_itself_finds_the_weights_sparse(pattern: str, capacity: float, tmp_path: Path, folder: Path) -> None:
    sparse = pytest.importorskip("polygraphy.tools.sparse")
    file = tmp_path / "subnetwork.onnx"
    file.write_bytes(exported("resnet18", pattern, capacity))
    TensorRtRtx().compile(file, folder, precision="fp16", inputs=options("86"))
    judge = sparse.SparsityPruner(load((folder / "model.onnx").read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compares fp16 with the largest double
        judge.check()
    # No pattern prunes the projector, and 2:4 no layer that reads three channels.
    dense = {"embedder.projector.weight", "embedder.backbone.conv1.weight"}
    assert judge.prune_infos.keys() - judge.sparse_tensors == dense
    assert len(judge.sparse_tensors) == 20


def test_nodes_are_placed_on_the_gpu(resnet: Path, folder: Path) -> None:
    runtime = TensorRtRtx()
    [name, *_] = runtime.compile(resnet, folder, precision="fp32", inputs=options("86"))
    nodes = len(load(resnet.read_bytes()).graph.node)
    assert runtime.placement(Model(folder / name, "tensorrt-rtx")) == {runtime.places_on: nodes}


def test_a_node_that_it_does_not_know_is_named(folder: Path) -> None:
    nodes = [
        helper.make_node("Unique", ["images"], ["u"], "unique"),
        helper.make_node("Flatten", ["u"], ["embeddings"]),
    ]
    file = folder.parent / "unknown.onnx"
    file.write_bytes(graph_of(nodes, {}).SerializeToString())
    with pytest.raises(InvalidInput, match=r"tensorrt_rtx cannot take Unique node 'unique' \(checkUnique") as raised:
        TensorRtRtx().compile(file, folder, precision="fp32", inputs=options("86"))
    assert_one_line(raised.value)


def test_a_graph_that_does_not_fit_is_named_with_the_reason_of_the_engine(folder: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["images"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["embeddings"], "mm"),
    ]
    file = folder.parent / "wrong.onnx"
    file.write_bytes(graph_of(nodes, {"w": np.zeros((5, 4), np.float32)}).SerializeToString())
    with pytest.raises(InvalidInput, match=r"MatMul node 'mm' \(API Usage Error \(mm: last dimension") as raised:
        TensorRtRtx().compile(file, folder, precision="fp32", inputs=options("86"))
    assert_one_line(raised.value)


def test_what_the_compiler_refuses_is_in_its_own_words(resnet: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"model.onnx: tensorrt_rtx cannot build it \(.*Turing") as raised:
        TensorRtRtx().compile(resnet, folder, precision="fp32", inputs=options("75"))
    assert_one_line(raised.value)
    assert not (folder / "model.engine").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x09\x12"])
def test_a_file_that_is_no_model_is_refused(content: bytes, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = folder.parent / "broken.onnx"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"broken\.onnx") as raised:
        TensorRtRtx().compile(file, folder, precision="fp32")
    assert_one_line(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_batch_that_is_fixed_is_built_as_it_is(tiny_model: Callable[..., Path], folder: Path) -> None:
    names = TensorRtRtx().compile(tiny_model(batch=2), folder, precision="fp32", inputs=options("86"))
    assert names[0] == "model.engine"


def test_here_is_no_gpu(resnet: Path, folder: Path) -> None:
    runtime = TensorRtRtx()
    if runtime.obstacle() is None:
        pytest.skip("there is one")
    assert runtime.obstacle() == "no NVIDIA GPU here"
    [name, *_] = runtime.compile(resnet, folder, precision="fp32", inputs=options("86"))
    with pytest.raises(Unreachable, match="tensorrt-rtx cannot run here: no NVIDIA GPU here") as raised:
        runtime.open(Model(folder / name, "tensorrt-rtx"))
    assert_one_line(raised.value)


class Kernels:
    """What an engine compiles when it is first run."""

    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, content: bytes) -> bool:
        self.content = content
        return True

    def serialize(self) -> bytes:
        return self.content + b"+"


class Config:
    """How a context is to run."""

    def __init__(self) -> None:
        self.dynamic_shapes_kernel_specialization_strategy: object = None
        self.kernels: Kernels | None = None

    def create_runtime_cache(self) -> Kernels:
        return Kernels()

    def set_runtime_cache(self, kernels: Kernels) -> None:
        self.kernels = kernels


def test_kernels_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path))
    plan = SimpleNamespace(create_runtime_config=Config, create_execution_context=lambda config: config)
    seen = []
    for content in (b"one", b"one", b"two"):
        config, compiled = TensorRtRtx()._context(engine, plan, content)
        eager = engine.DynamicShapesKernelSpecializationStrategy.EAGER
        assert config.dynamic_shapes_kernel_specialization_strategy == eager
        seen.append(config.kernels.content)
        assert compiled is not None
        compiled()
    assert seen == [b"", b"+", b""]  # of one engine, and of no other
    assert len(list((tmp_path / "tensorrt-rtx").iterdir())) == 2


def test_the_real_engine_has_every_name_that_is_used() -> None:
    assert {"create_runtime_cache", "set_runtime_cache"} <= set(dir(engine.IRuntimeConfig))
    assert {"create_runtime_config", "create_execution_context", "num_layers", "num_io_tensors"} <= set(
        dir(engine.ICudaEngine)
    )
    assert {"get_tensor_profile_shape", "get_tensor_mode", "get_tensor_dtype"} <= set(dir(engine.ICudaEngine))
    assert {"set_tensor_address", "set_input_shape", "execute_async_v3"} <= set(dir(engine.IExecutionContext))
    assert {"INPUT", "OUTPUT"} <= set(engine.TensorIOMode.__members__)
    assert hasattr(engine.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")


def test_a_graph_is_built_for_the_gpu_that_is_here(resnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def build(_: object, file: Path, *, capabilities: tuple[object, ...]) -> Built:
        asked.extend([file, *capabilities])
        return Built(b"plan", SparseLayers())

    monkeypatch.setattr(_rtx, "build_engine", build)
    assert TensorRtRtx()._build_here(resnet, Gpu("NVIDIA GeForce RTX 4090", "89")).content == b"plan"
    assert asked == [resnet, engine.ComputeCapability.CURRENT]


def test_kernels_are_kept_and_the_oldest_dropped(tmp_path: Path) -> None:
    for age in range(40):
        file = tmp_path / f"{age}.kernels"
        file.write_bytes(b"old")
        os.utime(file, (1000 - age, 1000 - age))
    (tmp_path / "other").write_bytes(b"not ours")
    _save_kernels(tmp_path / "new.kernels", b"new")
    assert (tmp_path / "new.kernels").read_bytes() == b"new"
    assert {file.name for file in tmp_path.iterdir()} == {"new.kernels", "other", *(f"{i}.kernels" for i in range(31))}


def test_kernels_that_cannot_be_kept_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    _save_kernels(tmp_path / "file" / "new.kernels", b"new")
    assert (tmp_path / "file").read_bytes() == b""
