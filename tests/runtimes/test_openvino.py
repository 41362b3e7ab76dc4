from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra, UnknownName, UnsupportedPrecision
from prunnet_export.runtimes import find_runtime
from prunnet_export.runtimes.openvino import OpenVino

pytest.importorskip("openvino")


def images(count: int = 3, size: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3, size, size), np.float32)


def test_is_found_by_its_name() -> None:
    assert isinstance(find_runtime("openvino"), OpenVino)


def test_embeddings_are_unit_vectors_and_do_not_depend_on_the_batch(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    runtime = OpenVino()
    names = runtime.compile(tiny_model(), tmp_path, precision="fp32")
    session = runtime.open(tmp_path / names[0], precision="fp32", threads=1)
    together = session.run(images())
    assert together.shape == (3, 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([session.run(image[None]) for image in images()]), together, atol=1e-6)


def test_reads_the_weights_it_wrote_bit_for_bit(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    file = tiny_model()
    runtime = OpenVino()
    names = runtime.compile(file, tmp_path, precision="fp32")
    assert names == ("model.xml", "model.bin")
    weights = runtime.read_weights(tmp_path / names[0])
    assert {key: value.shape for key, value in weights.items()} == {
        "conv.weight": (8, 3, 3, 3),
        "head.weight": (8, 8),
    }
    for tensor in onnx.load(file).graph.initializer:
        if tensor.name in weights:
            np.testing.assert_array_equal(weights[tensor.name], onnx.numpy_helper.to_array(tensor))


def test_fp32_is_executed_as_fp32(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    reference = pytest.importorskip("onnx.reference").ReferenceEvaluator(str(tiny_model(width=64, dim=64)))
    names = OpenVino().compile(tiny_model(width=64, dim=64), tmp_path, precision="fp32")
    ours = OpenVino().open(tmp_path / names[0], precision="fp32").run(images())
    # bf16 keeps 8 bits of mantissa: it would be off by 1e-3 or more.
    np.testing.assert_allclose(ours, reference.run(None, {"images": images()})[0], atol=1e-5)


def test_bf16_is_refused_where_the_processor_does_not_have_it(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    names = OpenVino().compile(tiny_model(), tmp_path, precision="bf16")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    for use in (OpenVino().open, OpenVino().placement):
        with pytest.raises(UnsupportedPrecision, match="no bf16"):
            use(tmp_path / names[0], precision="bf16")
    assert OpenVino().open(tmp_path / names[0], precision="fp32", threads=1).run(images()).shape == (3, 8)


def test_two_results_do_not_share_memory(tiny_model: Callable[..., Path]) -> None:
    session = OpenVino().open(tiny_model(), precision="fp32", threads=1)
    first = session.run(images(1))
    kept = first.copy()
    session.run(1 - images(1))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("weights", [None, b"", b"12345678"])
def test_missing_or_short_weights_are_one_short_line(
    weights: bytes | None, tiny_model: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    OpenVino().compile(tiny_model(), tmp_path, precision="fp32")
    if weights is None:
        (tmp_path / "model.bin").unlink()
    else:
        (tmp_path / "model.bin").write_bytes(weights)
    with pytest.raises(InvalidInput, match=r"model\.xml") as caught:
        OpenVino().open(tmp_path / "model.xml", precision="fp32")
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_every_node_is_placed(tiny_model: Callable[..., Path]) -> None:
    placement = OpenVino().placement(tiny_model(), precision="fp32")
    assert set(placement) == {"CPU"}
    assert placement["CPU"] >= 4


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"<net", b'<?xml version="1.0"?><net/>', None])
def test_a_file_that_is_no_model_is_one_short_line(
    content: bytes | None,
    suffix: str,
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / f"broken{suffix}"
    model.write_bytes(tiny_model().read_bytes()[:300] if content is None else content)
    for use in (
        lambda: OpenVino().open(model, precision="fp32"),
        lambda: OpenVino().read_weights(model),
        lambda: OpenVino().compile(model, tmp_path, precision="fp32"),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        OpenVino().open(tmp_path / "nowhere.onnx", precision="fp32")


@pytest.mark.parametrize("source", [["batch", 3, "h", "w"], ["batch", 3, 16, "w"]])
def test_a_model_with_open_sides_is_refused(source: list[object], tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="not an embedding network"):
        OpenVino().open(tiny_model(source=source), precision="fp32")


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
def test_a_wrong_batch_is_refused(batch: np.ndarray, tiny_model: Callable[..., Path]) -> None:
    session = OpenVino().open(tiny_model(), precision="fp32", threads=1)
    with pytest.raises(InvalidInput, match="the batch"):
        session.run(batch)


def test_a_fixed_batch_is_respected(tiny_model: Callable[..., Path]) -> None:
    session = OpenVino().open(tiny_model(batch=2), precision="fp32", threads=1)
    assert session.run(images(2)).shape == (2, 8)
    with pytest.raises(InvalidInput, match="3 images") as caught:
        session.run(images(3))
    assert "exactly 2" in caught.value.hint


def test_strided_batches_are_as_good_as_contiguous_ones(tiny_model: Callable[..., Path]) -> None:
    session = OpenVino().open(tiny_model(), precision="fp32", threads=1)
    strided = images().transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(session.run(strided), session.run(strided.copy()))


@pytest.mark.parametrize("precision", ["int4", "fp16", ""])
def test_an_unknown_precision_is_refused(precision: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    for use in (
        lambda: OpenVino().open(tiny_model(), precision=precision),
        lambda: OpenVino().compile(tiny_model(), tmp_path, precision=precision),
        lambda: OpenVino().placement(tiny_model(), precision=precision),
    ):
        with pytest.raises(UnknownName, match="precision"):
            use()


def test_threads_have_to_be_positive(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="0 threads"):
        OpenVino().open(tiny_model(), precision="fp32", threads=0)


def test_a_missing_engine_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        OpenVino().version()
    assert "prunnet-export[openvino]" in caught.value.hint


def test_says_what_it_ignores() -> None:
    assert set(OpenVino.ignores) == {"unstructured", "n:m", "block"}
    assert all("--pattern channel" in sentence for sentence in OpenVino.ignores.values())
