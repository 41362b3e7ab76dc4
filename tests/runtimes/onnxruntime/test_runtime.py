from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import Model
from prunnet_export.runtimes.onnxruntime import OnnxRuntime

pytest.importorskip("onnxruntime")


def images(count: int = 3, size: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3, size, size), np.float32)


def test_reads_the_weights_it_wrote(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    runtime = OnnxRuntime()
    (name,) = runtime.compile(tiny_model(), tmp_path, precision="fp32")
    weights = runtime.read_weights(Model(tmp_path / name, "onnxruntime"))
    assert {key: value.shape for key, value in weights.items()} == {
        "conv.weight": (8, 3, 3, 3),
        "head.weight": (8, 8),
    }


def test_external_weights_are_taken_in(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    outside = tmp_path / "outside"
    outside.mkdir()
    onnx.save(
        onnx.load(tiny_model()),
        outside / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    folder = tmp_path / "compiled"
    folder.mkdir()
    OnnxRuntime().compile(outside / "m.onnx", folder, precision="fp32")
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]
    assert OnnxRuntime().open(Model(folder / "model.onnx", "onnxruntime")).run(images()).shape == (3, 8)


def test_every_node_is_placed(tiny_model: Callable[..., Path]) -> None:
    placement = OnnxRuntime().placement(Model(tiny_model(), "onnxruntime"))
    assert set(placement) == {"CPU"}
    assert placement["CPU"] >= 4


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x09\x12", None])
def test_a_file_that_is_no_model_is_one_short_line(
    content: bytes | None, tiny_model: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "broken.onnx"
    model.write_bytes(tiny_model().read_bytes()[:300] if content is None else content)
    for use in (
        lambda: OnnxRuntime().open(Model(model, "onnxruntime")),
        lambda: OnnxRuntime().read_weights(Model(model, "onnxruntime")),
        lambda: OnnxRuntime().compile(model, tmp_path, precision="fp32"),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_says_what_it_ignores() -> None:
    assert set(OnnxRuntime.ignores) == {"unstructured", "n:m", "block"}
    assert all("--pattern channel" in sentence for sentence in OnnxRuntime.ignores.values())
