from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, UnsupportedPrecision
from prunnet_export.runtimes import Model
from prunnet_export.runtimes.openvino import OpenVino

pytest.importorskip("openvino")


def images(count: int = 3, size: int = 16) -> np.ndarray:
    return np.random.default_rng(1).random((count, 3, size, size), np.float32)


def test_reads_the_weights_it_wrote_bit_for_bit(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    file = tiny_model()
    runtime = OpenVino()
    names = runtime.compile(file, tmp_path, precision="fp32")
    assert names == ("model.xml", "model.bin")
    weights = runtime.read_weights(Model(tmp_path / names[0], "openvino"))
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
    ours = OpenVino().open(Model(tmp_path / names[0], "openvino")).run(images())
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
            use(Model(tmp_path / names[0], "openvino", "bf16"))
    assert OpenVino().open(Model(tmp_path / names[0], "openvino"), threads=1).run(images()).shape == (3, 8)


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
        OpenVino().open(Model(tmp_path / "model.xml", "openvino"))
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_every_node_is_placed(tiny_model: Callable[..., Path]) -> None:
    placement = OpenVino().placement(Model(tiny_model(), "openvino"))
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
        lambda: OpenVino().open(Model(model, "openvino")),
        lambda: OpenVino().read_weights(Model(model, "openvino")),
        lambda: OpenVino().compile(model, tmp_path, precision="fp32"),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250
        assert caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_says_what_it_ignores() -> None:
    assert set(OpenVino.ignores) == {"unstructured", "n:m", "block"}
    assert all("--pattern channel" in sentence for sentence in OpenVino.ignores.values())
