"""What holds for every runtime, and for every one that runs on a processor here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra, UnknownName
from prunnet_export.runtimes import Model, Runtime, Session, find_runtime
from prunnet_export.runtimes.coreml import CoreMl
from prunnet_export.runtimes.ethos_u import EthosU
from prunnet_export.runtimes.litert import LiteRt
from prunnet_export.runtimes.mnn import Mnn
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.runtimes.openvino import OpenVino, OpenVinoGpu, OpenVinoNpu
from prunnet_export.runtimes.tensorrt import TensorRt, TensorRtRtx

EXTRAS: dict[type[Runtime], str] = {
    CoreMl: "coreml",
    EthosU: "ethos-u",
    LiteRt: "litert",
    Mnn: "mnn",
    OnnxRuntime: "onnxruntime",
    OpenVino: "openvino",
    OpenVinoGpu: "openvino",
    OpenVinoNpu: "openvino",
    TensorRt: "tensorrt",
    TensorRtRtx: "tensorrt-rtx",
}
Opened = Callable[..., Session]
every_runtime = pytest.mark.parametrize("kind", EXTRAS, ids=lambda kind: kind.name)


def images(count: int = 3, size: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3, size, size), np.float32)


@pytest.fixture(params=["onnxruntime", "openvino", "mnn"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """One that runs on any processor."""
    return find_runtime(request.param)


@pytest.fixture
def opened(runtime: Runtime, tiny_model: Callable[..., Path], tmp_path: Path) -> Opened:
    """Compiles and opens the tiny network."""

    def build(*, threads: int = 1, **changed: object) -> Session:
        folder = tmp_path / "compiled"
        folder.mkdir()
        names = runtime.compile(tiny_model(**changed), folder, precision="fp32")
        return runtime.open(Model(folder / names[0], runtime.name), threads=threads)

    return build


@every_runtime
def test_is_found_by_its_name(kind: type[Runtime]) -> None:
    assert type(find_runtime(kind.name)) is kind


@every_runtime
def test_an_unknown_precision_is_refused(kind: type[Runtime], tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    for precision in {"fp32", "fp16", "bf16", "int8", "int4", ""} - {precision.name for precision in kind.precisions}:
        for use in (
            lambda precision=precision: kind().open(Model(tiny_model(), kind.name, precision)),
            lambda precision=precision: kind().compile(tiny_model(), tmp_path, precision=precision),
            lambda precision=precision: kind().placement(Model(tiny_model(), kind.name, precision)),
        ):
            with pytest.raises(UnknownName, match="precision"):
                use()


@pytest.mark.parametrize("kind", [CoreMl, EthosU, TensorRt, TensorRtRtx], ids=lambda kind: kind.name)
def test_a_precision_without_a_twin_is_refused(kind: type[Runtime], tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="precision"):
        kind().twin(Model(tmp_path / "model", kind.name, "int4"))


# TensorRT's files are written without its engine.
@pytest.mark.parametrize("kind", sorted(EXTRAS.keys() - {TensorRt}, key=str), ids=lambda kind: kind.name)
def test_a_missing_engine_names_its_extra(kind: type[Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        kind().version()
    assert f"prunnet-export[{EXTRAS[kind]}]" in caught.value.hint


def test_embeddings_are_unit_vectors_and_do_not_depend_on_the_batch(opened: Opened) -> None:
    session = opened()
    assert session.shape.batch is None
    together = session.run(images())
    assert together.shape == (3, 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([session.run(image[None]) for image in images()]), together, atol=1e-6)


def test_what_comes_out_belongs_to_the_caller(opened: Opened) -> None:
    session = opened()
    first = session.run(images())
    kept = first.copy()
    session.run(1 - images())
    np.testing.assert_array_equal(first, kept)


def test_strided_batches_are_as_good_as_contiguous_ones(opened: Opened) -> None:
    session = opened()
    strided = images().transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(session.run(strided), session.run(strided.copy()))


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 3, 16, 16)),
        np.zeros((3, 16, 16), np.float32),
        np.zeros((1, 1, 16, 16), np.float32),
        np.zeros((1, 3, 16, 17), np.float32),
        np.zeros((0, 3, 16, 16), np.float32),
    ],
)
def test_a_wrong_batch_is_refused(batch: np.ndarray, opened: Opened) -> None:
    session = opened()
    with pytest.raises(InvalidInput, match="the batch"):
        session.run(batch)
    assert session.run(images()).shape == (3, 8)


def test_a_fixed_batch_is_respected(opened: Opened) -> None:
    session = opened(batch=2)
    assert session.run(images(2)).shape == (2, 8)
    with pytest.raises(InvalidInput, match="3 images") as caught:
        session.run(images(3))
    assert "exactly 2" in caught.value.hint


@pytest.mark.parametrize("source", [["batch", 3, "h", "w"], ["batch", 3, 16, "w"]])
def test_a_model_with_open_sides_is_refused(source: list[object], opened: Opened) -> None:
    with pytest.raises(InvalidInput, match="not an embedding network"):
        opened(source=source)


@pytest.mark.parametrize("kind", [CoreMl, OpenVinoGpu, OpenVinoNpu, TensorRt, TensorRtRtx], ids=lambda kind: kind.name)
def test_an_engine_without_threads_takes_none(kind: type[Runtime], tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="has no number of threads to set") as caught:
        kind().open(Model(tiny_model(), kind.name, kind.precisions[0].name), threads=2)
    assert "--threads" in caught.value.hint


def test_threads_have_to_be_positive(opened: Opened) -> None:
    with pytest.raises(InvalidInput, match="0 threads"):
        opened(threads=0)


def test_a_missing_file_is_named(runtime: Runtime, tmp_path: Path) -> None:
    for use in (
        lambda: runtime.open(Model(tmp_path / "nowhere", runtime.name)),
        lambda: runtime.read_weights(Model(tmp_path / "nowhere", runtime.name)),
        lambda: runtime.compile(tmp_path / "nowhere", tmp_path, precision="fp32"),
    ):
        with pytest.raises(InvalidInput, match="nowhere"):
            use()
