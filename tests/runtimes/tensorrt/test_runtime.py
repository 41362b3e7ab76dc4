from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra, Unreachable
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.runtimes.tensorrt import TensorRt, _cuda, _family, _runtime
from prunnet_export.runtimes.tensorrt._build import Built
from prunnet_export.runtimes.tensorrt._log import SparseLayers, sparse_layers
from tests._asserts import assert_one_line
from tests._inputs import images
from tests.runtimes._graphs import exported, load, run
from tests.runtimes.tensorrt._fake_gpu import NAME, FakeContext, FakePlan, FakeRuntime, fake_engine

WORDS = [
    "(Sparsity) Found 20 layer(s) eligible to use sparse tactics",
    "(Sparsity) Chose 3 layer(s) using sparse tactics",
]

# The relative keeps no timings.
RELATIVE = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    """A small ResNet-18 with 2:4 weights, as it is exported."""
    file = tmp_path / "subnetwork.onnx"
    file.write_bytes(exported("resnet18"))
    return file


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither TensorRT nor a GPU."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    see_gpu(monkeypatch, there=False)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRuntime:
    """A machine with an Orin's GPU, and for TensorRT its relative, which builds without one."""
    monkeypatch.setitem(sys.modules, "tensorrt", pytest.importorskip("tensorrt_rtx"))
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path / "cache"))
    see_gpu(monkeypatch, there=True)
    return fake_cuda(monkeypatch)


def see_gpu(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    for module in (_family, _runtime):
        monkeypatch.setattr(module, "has_gpu", lambda: there)


def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    runtime = FakeRuntime()
    monkeypatch.setattr(_cuda, "require", lambda module, *, extra: runtime)  # noqa: ARG005
    return runtime


# -- the host ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_host_writes_typed_onnx(precision: str, resnet: Path, tmp_path: Path) -> None:
    runtime = TensorRt()
    folder = tmp_path / precision
    folder.mkdir()
    assert runtime.compile(resnet, folder, precision=precision) == ("model.onnx",)
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]
    assert not runtime.built(Model(folder / "model.onnx", "tensorrt"))
    kinds = {
        one.dtype
        for one in runtime.read_weights(Model(folder / "model.onnx", "tensorrt")).values()
        if one.ndim == 4 and len(one) > 1
    }
    assert kinds == {np.dtype(np.float16 if precision == "fp16" else np.float32)}
    twin = runtime.twin(Model(folder / "model.onnx", "tensorrt", precision))
    assert twin is not None
    batch = images(3, 32).numpy()
    there = find_runtime(twin.runtime).open(twin).run(batch)
    assert (there * run(load(resnet.read_bytes()), batch)).sum(1).min() > 0.9999


@pytest.mark.usefixtures("host")
def test_a_host_needs_no_engine(resnet: Path) -> None:
    runtime = TensorRt()
    assert runtime.version() == "unbuilt"
    assert runtime.obstacle() == "no NVIDIA GPU here"
    for use in (
        lambda: runtime.open(Model(resnet, "tensorrt")),
        lambda: runtime.finish(Model(resnet, "tensorrt"), resnet.parent, {}),
    ):
        with pytest.raises(Unreachable, match="tensorrt cannot run here: no NVIDIA GPU here") as raised:
            use()
        assert_one_line(raised.value)


def test_a_gpu_without_the_engine_misses_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    see_gpu(monkeypatch, there=True)
    runtime = TensorRt()
    assert runtime.obstacle() == "tensorrt is not installed"
    for use in (runtime.version, lambda: runtime.finish(Model(tmp_path, "tensorrt"), tmp_path, {})):
        with pytest.raises(MissingExtra) as raised:
            use()
        assert "prunnet-export[tensorrt]" in raised.value.hint


def test_an_engine_without_the_bindings_misses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_engine())
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    see_gpu(monkeypatch, there=True)
    assert TensorRt().obstacle() == "cuda.bindings.runtime is not installed"


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [("channel", False), ("2:4", False), ("channel+2:4", False), ("1:4", True), ("4:8", True)],
)
def test_of_n_m_only_2_4_counts(pattern: str, ignored: bool) -> None:
    sentence = TensorRt().ignored(pattern)
    assert (sentence is not None) is ignored
    assert sentence is None or "2:4" in sentence


@pytest.mark.parametrize("pattern", ["unstructured", "block"])
def test_other_zeros_are_ignored(pattern: str) -> None:
    assert "--pattern channel or 2:4" in str(TensorRt().ignored(pattern))


@pytest.mark.usefixtures("host")
def test_weights_and_nodes_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"an engine without its graph")
    for use in (
        lambda: TensorRt().read_weights(Model(tmp_path / "model.engine", "tensorrt")),
        lambda: TensorRt().placement(Model(tmp_path / "model.engine", "tensorrt", "fp16")),
        lambda: TensorRt().open(Model(tmp_path / "nothing.engine", "tensorrt", "fp16")),
    ):
        with pytest.raises(InvalidInput) as raised:
            use()
        assert_one_line(raised.value)


# -- the board ---------------------------------------------------------------------------------------------


def prepared(resnet: Path) -> Path:
    [name] = TensorRt().compile(resnet, resnet.parent, precision="fp16")
    return resnet.parent / name


@RELATIVE
@pytest.mark.usefixtures("board")
def test_the_board_builds_the_engine(resnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runtime = TensorRt()
    folder = tmp_path / "board"
    folder.mkdir()
    names = runtime.finish(Model(prepared(resnet), "tensorrt", "fp16"), folder, {})
    assert names == ("model.engine", "engine.json")
    assert runtime.built(Model(folder / names[0], "tensorrt"))
    record = json.loads((folder / "engine.json").read_bytes())
    assert (record["device"], record["compute_capabilities"], record["precision"]) == (NAME, ["87"], "fp16")
    assert record["version"] == runtime.version()
    [timings] = (tmp_path / "cache" / "tensorrt").iterdir()
    assert timings.name == f"sm87-{runtime.version()}.timing"
    assert capfd.readouterr() == ("", "")


@RELATIVE
@pytest.mark.usefixtures("board")
def test_damaged_timings_are_replaced(resnet: Path, tmp_path: Path) -> None:
    timings = tmp_path / "cache" / "tensorrt" / f"sm87-{TensorRt().version()}.timing"
    timings.parent.mkdir(parents=True)
    timings.write_bytes(b"garbage")
    TensorRt().finish(Model(prepared(resnet), "tensorrt", "fp16"), tmp_path, {})
    assert timings.read_bytes() != b"garbage"


@RELATIVE
@pytest.mark.usefixtures("board")
def test_the_record_says_how_many_layers_run_sparse(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Built(b"plan", sparse_layers(WORDS))
    monkeypatch.setattr(_runtime, "build_engine", lambda *_, **__: built)
    TensorRt().finish(Model(prepared(resnet), "tensorrt", "fp16"), tmp_path, {})
    record = json.loads((tmp_path / "engine.json").read_bytes())
    assert (record["sparse_eligible"], record["sparse_chosen"]) == (20, 3)


@RELATIVE
@pytest.mark.usefixtures("board")
@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_file_that_is_no_engine_is_one_line(
    content: bytes | None, resnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    TensorRt().finish(Model(prepared(resnet), "tensorrt", "fp16"), tmp_path, {})
    engine = tmp_path / "model.engine"
    engine.write_bytes(engine.read_bytes()[:1000] if content is None else content)
    with pytest.raises(InvalidInput, match=r"model\.engine: no engine that tensorrt_rtx can load here") as raised:
        TensorRt().open(Model(engine, "tensorrt", "fp16"))
    assert_one_line(raised.value)
    assert capfd.readouterr() == ("", "")


@RELATIVE
@pytest.mark.usefixtures("board")
def test_an_engine_of_another_board_is_refused(resnet: Path, tmp_path: Path) -> None:
    TensorRt().finish(Model(prepared(resnet), "tensorrt", "fp16"), tmp_path, {})
    record = tmp_path / "engine.json"
    record.write_text(record.read_text(encoding="utf-8").replace(NAME, "NVIDIA H100"), encoding="utf-8")
    with pytest.raises(InvalidInput, match="built on NVIDIA H100, and this is Orin") as raised:
        TensorRt().open(Model(tmp_path / "model.engine", "tensorrt", "fp16"))
    assert_one_line(raised.value)


@RELATIVE
@pytest.mark.usefixtures("board")
@pytest.mark.parametrize("content", ["", "[]", '{"runtime": 1}', '{"runtime": "tensorrt", "extra": 1}'])
def test_a_damaged_record_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"plan")
    (tmp_path / "engine.json").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"engine\.json: not a record of an engine") as raised:
        TensorRt().open(Model(tmp_path / "model.engine", "tensorrt", "fp16"))
    assert_one_line(raised.value)


class Board:
    """A GPU, and a TensorRT that turns any plan into an engine that doubles its images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = FakeContext(fake_cuda(monkeypatch), lambda batch: 2 * batch.reshape(len(batch), -1))
        self.plans: list[bytes] = []
        module: Any = fake_engine()
        module.__version__ = "10.3.0"
        module.Runtime = lambda _: self
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        see_gpu(monkeypatch, there=True)
        monkeypatch.setattr(_runtime, "build_engine", self.build)

    def build(self, engine: ModuleType, onnx_file: Path, *, timing_cache: Path) -> Built:
        assert engine is sys.modules["tensorrt"]
        assert timing_cache.name == "sm87-10.3.0.timing"
        return Built(b"built from " + onnx_file.read_bytes(), SparseLayers())

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        self.plans.append(content)
        plan: Any = FakePlan()
        plan.num_layers = 5
        plan.create_execution_context = lambda: self.context
        return plan


@pytest.mark.parametrize(("name", "plan"), [("model.engine", b"x"), ("model.onnx", b"built from x")])
def test_engines_and_graphs_are_opened(name: str, plan: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(monkeypatch)
    (tmp_path / name).write_bytes(b"x")
    session = TensorRt().open(Model(tmp_path / name, "tensorrt", "fp16"))
    batch = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(session.run(batch), 2 * batch.reshape(2, -1))
    assert board.plans == [plan]


def test_layers_of_an_engine_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Board(monkeypatch)
    (tmp_path / "model.engine").write_bytes(b"x")
    assert TensorRt().placement(Model(tmp_path / "model.engine", "tensorrt", "fp16")) == {"GPU": 5}


def test_a_graph_is_built_where_there_is_a_gpu_and_its_layers_are_counted(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Board(monkeypatch)
    TensorRt().compile(tiny_model(), tmp_path, precision="fp32")
    assert TensorRt().placement(Model(tmp_path / "model.onnx", "tensorrt")) == {"GPU": 5}
