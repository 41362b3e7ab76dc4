from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.evaluating._zeros import layers_in_place
from prunnet_export.runtimes import CompileInputs, Model, find_runtime
from prunnet_export.runtimes.coreml import CoreMl
from prunnet_export.runtimes.coreml._package import read_program
from prunnet_export.runtimes.coreml._runtime import CoreMlSession
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from tests.runtimes._embedders import compile_inputs, embedder, in_torch, inputs, masks, write_onnx
from tests.runtimes.coreml import _mil

pytest.importorskip("coremltools")

NAMES = (
    "model.mlpackage/Manifest.json",
    "model.mlpackage/Data/com.apple.CoreML/model.mlmodel",
    "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
)
CASES = [("unstructured", 0.4, "fp32"), ("block", 0.4, "fp16"), ("channel", 0.4, "fp16")]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles a subnetwork once; the package's manifest."""
    made: dict[tuple[str, float, str], Path] = {}

    def compile_(pattern: str = "unstructured", capacity: float = 0.4, precision: str = "fp32") -> Path:
        key = (pattern, capacity, precision)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("coreml") / _compile(tmp_path_factory.mktemp("made"), *key)
        return made[key]

    return compile_


def _compile(folder: Path, pattern: str, capacity: float, precision: str) -> Path:
    module = embedder(pattern, capacity)
    names = CoreMl().compile(write_onnx(folder, module), folder, precision=precision, inputs=compile_inputs(module))
    assert names == NAMES
    return folder / names[0]


@pytest.mark.parametrize(("pattern", "capacity", "precision"), CASES)
def test_the_shipped_program_computes_what_torch_does(
    pattern: str, capacity: float, precision: str, compiled: Callable[..., Path]
) -> None:
    program = read_program(compiled(pattern, capacity, precision))
    batch = inputs(4)
    got = np.concatenate([_mil.run(program, image[None]) for image in batch])
    assert got.dtype == np.float32
    expected = in_torch(embedder(pattern, capacity), batch)
    spread = np.abs(expected - expected.mean(axis=0)).max()
    np.testing.assert_allclose(got, expected, atol=spread * (1e-3 if precision == "fp32" else 0.1))


@pytest.mark.parametrize(("pattern", "capacity", "precision"), CASES)
def test_weights_are_read_off_the_package(
    pattern: str, capacity: float, precision: str, compiled: Callable[..., Path]
) -> None:
    weights = CoreMl().read_weights(Model(compiled(pattern, capacity, precision), "coreml"))
    module = embedder(pattern, capacity)
    shipped = [tensor for tensor in module.state_dict().values() if tensor.ndim > 1]
    assert sum(tensor.size for tensor in weights.values()) == sum(map(torch.numel, shipped)) + 6  # mean and deviation
    # The image is standardised in float32.
    assert [tensor.dtype for tensor in weights.values() if tensor.size == 3] == [np.dtype("float32")] * 2
    assert {tensor.dtype for tensor in weights.values() if tensor.size > 3} == {np.dtype(f"float{precision[2:]}")}
    # Norms are folded into convolutions: the first keeps its weights up to a factor for each output.
    conv, norm = module.backbone.get_submodule("conv1"), module.backbone.get_submodule("bn1")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = (conv.weight * factor.view(-1, 1, 1, 1)).numpy()
    closest = min(np.abs(tensor - folded).max() for tensor in weights.values() if tensor.shape == folded.shape)
    assert closest < (1e-6 if precision == "fp32" else 1e-3)
    if pattern != "channel":
        places = masks(pattern, capacity)
        assert layers_in_place(places, weights.values()) == len(places) > 0


def test_a_zero_takes_one_bit(compiled: Callable[..., Path]) -> None:
    for pattern, precision, width in (("unstructured", "fp32", 32), ("block", "fp16", 16)):
        manifest = compiled(pattern, 0.4, precision)
        weights = CoreMl().read_weights(Model(manifest, "coreml")).values()
        # Tensors of up to 2048 weights are stored dense.
        bits = sum(
            tensor.size * width if tensor.size <= 2048 else tensor.size + np.count_nonzero(tensor) * width
            for tensor in weights
        )
        blob = (manifest.parents[1] / NAMES[2]).stat().st_size
        assert bits / 8 < blob < bits / 8 + 10_000  # biases, and what tells where each begins
        assert blob < 0.75 * sum(tensor.nbytes for tensor in weights)


def test_packages_are_the_same_byte_for_byte_tell_no_day_and_are_made_in_silence(
    compiled: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    once, again = compiled(), _compile(tmp_path, "unstructured", 0.4, "fp32")
    assert capfd.readouterr() == ("", "")
    for name in NAMES:
        content = (once.parents[1] / name).read_bytes()
        assert content == (again.parents[1] / name).read_bytes()
        assert b"conversion_date" not in content
        assert str(Path.home()).encode() not in content
    manifest = json.loads(once.read_text())
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_twin_computes_what_torch_does(precision: str, compiled: Callable[..., Path]) -> None:
    pattern = "unstructured" if precision == "fp32" else "block"
    twin = CoreMl().twin(Model(compiled(pattern, 0.4, precision), "coreml", precision))
    assert twin is not None
    assert twin.file.name not in NAMES
    got = OnnxRuntime().open(twin, threads=1).run(inputs(4))
    np.testing.assert_allclose(got, in_torch(embedder(pattern, 0.4), inputs(4)), atol=5e-3)


def test_without_its_file_there_is_no_twin(tmp_path: Path) -> None:
    assert CoreMl().twin(Model(tmp_path / NAMES[0], "coreml", "fp16")) is None


def test_every_operation_is_counted(compiled: Callable[..., Path]) -> None:
    assert CoreMl().placement(Model(compiled(), "coreml")) == {"Core ML": 39}


# -- a Mac ---------------------------------------------------------------------------------------------------


def test_it_runs_on_apple_devices_only(monkeypatch: pytest.MonkeyPatch, compiled: Callable[..., Path]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert CoreMl().obstacle() == "Core ML runs on Apple devices only"
    with pytest.raises(Unreachable, match="Apple"):
        CoreMl().open(Model(compiled(), "coreml"))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert CoreMl().obstacle() is None


class Mac:
    """coremltools' model, where predicting is the program in torch."""

    def __init__(self, manifest: Path) -> None:
        self.manifest = manifest
        self.broken = False

    def get_spec(self) -> Any:
        proto = importlib.import_module("coremltools.proto.Model_pb2")
        model = proto.Model()
        model.ParseFromString((self.manifest.parent / "Data/com.apple.CoreML/model.mlmodel").read_bytes())
        return model

    def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.broken:
            raise RuntimeError("Error computing NN outputs.\nmore")
        return {"embeddings": _mil.run(read_program(self.manifest), given["images"])}


def test_a_mac_gives_the_embeddings(monkeypatch: pytest.MonkeyPatch, compiled: Callable[..., Path]) -> None:
    opened = []

    def load(package: str) -> Mac:
        opened.append(package)
        return Mac(Path(package) / "Manifest.json")

    runtime = CoreMl()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(runtime, "_engine", lambda: SimpleNamespace(models=SimpleNamespace(MLModel=load)))
    session = runtime.open(Model(compiled(), "coreml"))
    assert opened == [str(compiled().parent)]
    assert (session.shape.batch, session.shape.height, session.shape.width, session.shape.dim) == (1, 32, 32, 16)
    np.testing.assert_allclose(session.run(inputs(1)), in_torch(embedder(), inputs(1)), atol=1e-5)
    with pytest.raises(InvalidInput, match="2 images"):
        session.run(inputs(2))


def test_an_error_of_core_ml_is_one_line(compiled: Callable[..., Path]) -> None:
    mac = Mac(compiled())
    mac.broken = True
    with pytest.raises(InvalidInput, match=r"^Core ML failed on the batch: Error computing NN outputs\.$"):
        CoreMlSession(compiled(), mac).run(inputs(1))


def test_what_core_ml_cannot_load_is_one_line(monkeypatch: pytest.MonkeyPatch, compiled: Callable[..., Path]) -> None:
    def load(package: str) -> Mac:
        raise OSError(f"cannot compile {Path(package).name}")

    runtime = CoreMl()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(runtime, "_engine", lambda: SimpleNamespace(models=SimpleNamespace(MLModel=load)))
    with pytest.raises(InvalidInput, match=r"cannot compile model\.mlpackage"):
        runtime.open(Model(compiled(), "coreml"))


# -- what is no package --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x09\x12", None])
def test_a_file_that_is_no_package_is_one_short_line(
    content: bytes | None, compiled: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((compiled().parents[1] / name).read_bytes())
    (tmp_path / NAMES[1]).write_bytes((tmp_path / NAMES[1]).read_bytes()[:300] if content is None else content)
    _assert_refused(tmp_path / NAMES[0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_truncated_weights_are_one_short_line(keep: int, compiled: Callable[..., Path], tmp_path: Path) -> None:
    for name in NAMES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        content = (compiled().parents[1] / name).read_bytes()
        file.write_bytes(content[:keep] if name == NAMES[2] else content)
    _assert_refused(tmp_path / NAMES[0])


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    _assert_refused(tmp_path / NAMES[0])


def _assert_refused(manifest: Path) -> None:
    for use in (
        lambda: CoreMl().read_weights(Model(manifest, "coreml")),
        lambda: CoreMl().placement(Model(manifest, "coreml")),
    ):
        with pytest.raises(InvalidInput, match=r"model\.mlpackage: no Core ML package") as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert caught.value.hint


def test_without_the_module_nothing_is_compiled(tmp_path: Path) -> None:
    for given in (None, CompileInputs()):
        with pytest.raises(InvalidInput, match="needs real images"):
            CoreMl().compile(tmp_path / "m.onnx", tmp_path, precision="fp32", inputs=given)


def test_a_module_that_cannot_be_traced_is_one_line(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be converted to Core ML") as caught:
        CoreMl().compile(
            tiny_model(), tmp_path, precision="fp32", inputs=CompileInputs(module=lambda: nn.Conv2d(5, 4, 3).eval())
        )
    assert "\n" not in caught.value.message


def test_is_found_by_its_name_and_gains_from_zeros() -> None:
    runtime = find_runtime("coreml")
    assert isinstance(runtime, CoreMl)
    assert runtime.ignored("unstructured") is None
