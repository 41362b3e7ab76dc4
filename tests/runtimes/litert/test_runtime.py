from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import CompileInputs, Model
from prunnet_export.runtimes.litert import LiteRt
from tests.runtimes._embedders import CROP, DIM, compile_inputs, embedder, in_torch, inputs
from tests.runtimes.litert._files import converted_before, in_fp32, in_int8

pytest.importorskip("ai_edge_litert")
pytest.importorskip("litert_torch")


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    file = tmp_path / "fp32.tflite"
    file.write_bytes(in_fp32())
    return file


@pytest.fixture
def int8(tmp_path: Path) -> Path:
    file = tmp_path / "int8.tflite"
    file.write_bytes(in_int8())
    return file


def embed(file: Path, precision: str, batch: np.ndarray) -> np.ndarray:
    session = LiteRt().open(Model(file, "litert", precision), threads=1)
    return np.concatenate([session.run(image[None]) for image in batch])


def test_fp32_computes_what_torch_does(fp32: Path) -> None:
    np.testing.assert_allclose(embed(fp32, "fp32", inputs()), in_torch(embedder(), inputs()), atol=1e-5)


def test_int8_is_close_to_torch(int8: Path) -> None:
    expected, got = in_torch(embedder(), inputs()), embed(int8, "int8", inputs())
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)
    # What tells one image from another survives, not only what all have in common.
    apart, kept = expected - expected.mean(axis=0), got - got.mean(axis=0)
    assert (apart * kept).sum() / np.linalg.norm(apart) / np.linalg.norm(kept) > 0.97
    assert np.abs(got - expected).max() > 1e-5  # it is rounded


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_compiles_one_file_for_one_image(
    precision: str,
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    expected = in_fp32() if precision == "fp32" else in_int8()
    converted_before(monkeypatch)
    names = LiteRt().compile(tiny_model(size=CROP), tmp_path, precision=precision, inputs=compile_inputs(embedder()))
    assert names == ("model.tflite",)
    assert (tmp_path / names[0]).read_bytes() == expected
    shape = LiteRt().open(Model(tmp_path / names[0], "litert", precision)).shape
    assert (shape.batch, shape.height, shape.width, shape.dim) == (1, CROP, CROP, DIM)
    assert capfd.readouterr() == ("", "")


def test_compiling_needs_its_inputs(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    for given, precision in ((None, "fp32"), (CompileInputs(module=compile_inputs(embedder()).module), "int8")):
        with pytest.raises(InvalidInput, match="needs real images"):
            LiteRt().compile(tiny_model(), tmp_path, precision=precision, inputs=given)


def test_two_results_do_not_share_memory(fp32: Path) -> None:
    session = LiteRt().open(Model(fp32, "litert"), threads=1)
    first = session.run(inputs(1))
    kept = first.copy()
    session.run(1 - inputs(1))
    np.testing.assert_array_equal(first, kept)


def test_every_operator_is_placed(fp32: Path, int8: Path) -> None:
    places = LiteRt().placement(Model(fp32, "litert")), LiteRt().placement(Model(int8, "litert", "int8"))
    # Into INT8 and back again are two more.
    assert places[1]["CPU"] == places[0]["CPU"] + 2
    assert {*places[0], *places[1]} == {"CPU"}


@pytest.mark.parametrize("count", [0, 2])
def test_a_batch_of_another_size_is_refused(count: int, fp32: Path) -> None:
    session = LiteRt().open(Model(fp32, "litert"), threads=1)
    with pytest.raises(InvalidInput, match=f"{count} images") as caught:
        session.run(inputs(4)[:count])
    assert "exactly 1" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1c\0\0\0TFL3", None])
def test_a_file_that_is_no_model_is_one_short_line(
    content: bytes | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.tflite"
    file.write_bytes(in_int8()[:3000] if content is None else content)
    for use in (
        lambda: LiteRt().open(Model(file, "litert", "int8")),
        lambda: LiteRt().read_weights(Model(file, "litert")),
        lambda: LiteRt().placement(Model(file, "litert", "int8")),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        LiteRt().open(Model(tmp_path / "nowhere.tflite", "litert"))


def test_threads_have_to_be_positive(fp32: Path) -> None:
    with pytest.raises(InvalidInput, match="0 threads"):
        LiteRt().open(Model(fp32, "litert"), threads=0)


def test_says_what_it_ignores() -> None:
    assert set(LiteRt.ignores) == {"unstructured", "n:m", "block"}
    assert all("--pattern channel" in sentence for sentence in LiteRt.ignores.values())
