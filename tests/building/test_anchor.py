"""The anchor: the same file everywhere, which every runtime can compile and execute."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import MissingExtra
from prunnet_export.building import ANCHOR, BuildCache, _anchor, build_anchor
from prunnet_export.runtimes import Model, find_runtime, read_onnx

DEVICE = "0123456789ab"


def images() -> np.ndarray:
    return np.random.default_rng(1).random((2, 3, 128, 128), np.float32)


def test_its_weights_never_change(tmp_path: Path) -> None:
    _anchor.write_anchor(tmp_path / "anchor.onnx")
    digest = hashlib.sha256()
    for tensor in read_onnx(tmp_path / "anchor.onnx").graph.initializer:
        digest.update(tensor.raw_data)
    assert ANCHOR == "anchor-1"
    # Another digest is another anchor: give it the name anchor-2, as stored results are of this one.
    assert digest.hexdigest() == "1d8961418f1c558bed3edfd986c53e3814c3123e9049517f8ec3226703244ee1"


def test_its_activations_are_of_a_usual_size(tmp_path: Path) -> None:
    _anchor.write_anchor(tmp_path / "anchor.onnx")
    vectors = find_runtime("onnxruntime").open(Model(tmp_path / "anchor.onnx", "onnxruntime")).run(images())
    assert vectors.shape == (2, 256)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.count_nonzero(vectors) > 256  # most channels are alive


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "mnn"])
def test_a_runtime_compiles_it_once(name: str, tmp_path: Path) -> None:
    runtime, cache = find_runtime(name), BuildCache(tmp_path)
    model = build_anchor(runtime, cache, device=DEVICE)
    assert (model.runtime, model.precision) == (name, "fp32")
    written = model.file.stat().st_mtime_ns
    assert build_anchor(runtime, cache, device=DEVICE).file.stat().st_mtime_ns == written
    assert runtime.open(model, threads=1).run(images()[:1]).shape == (1, 256)


def test_the_torch_module_computes_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    _anchor.write_anchor(tmp_path / "anchor.onnx")
    vectors = find_runtime("onnxruntime").open(Model(tmp_path / "anchor.onnx", "onnxruntime")).run(images())
    with torch.no_grad():
        assert np.allclose(_anchor._module()(torch.from_numpy(images())).numpy(), vectors, atol=1e-5)


def test_without_onnx_there_is_no_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra, match="onnx"):
        build_anchor(find_runtime("onnxruntime"), BuildCache(tmp_path), device=DEVICE)
    assert not [file for file in tmp_path.iterdir() if not file.name.startswith(".")]
