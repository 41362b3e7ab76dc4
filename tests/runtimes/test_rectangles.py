"""Every engine takes images that are higher than wide, and tells height from width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from prunnet_export.building import export_onnx
from prunnet_export.network import Embedder, Normalised
from prunnet_export.runtimes import CompileInputs, Model, find_runtime
from tests._inputs import TINY_RESNET, images, prunable
from tests.runtimes._embedders import in_torch

SIZE = (48, 24)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return prunable("resnet18", crop=SIZE, options=TINY_RESNET, gain=2**0.5).embedder


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("openvino", "fp32"),
        ("openvino", "int8"),
        ("mnn", "fp32"),
        ("litert", "fp32"),
        ("ethos-u", "int8"),  # converted as for LiteRT
        ("coreml", "fp16"),
        ("tensorrt", "int8"),
    ],
)
def test_rectangular_images(name: str, precision: str, embedder: Embedder, tmp_path: Path) -> None:
    runtime = find_runtime(name)
    batch = images(24, SIZE).clamp(0, 1).numpy()
    export_onnx(embedder, tmp_path / "model.onnx", size=SIZE)
    inputs = CompileInputs(images=lambda: [batch], module=lambda: Normalised(embedder).eval())
    folder = tmp_path / "compiled"
    folder.mkdir()
    names = runtime.compile(tmp_path / "model.onnx", folder, precision=precision, inputs=inputs)
    model = Model(folder / names[0], name, precision)
    if runtime.obstacle() is not None:  # the engine does not run here; its twin computes the same elsewhere
        twin = runtime.twin(model)
        assert twin is not None
        model = twin
    session = find_runtime(model.runtime).open(model, threads=1)
    assert (session.shape.height, session.shape.width) == SIZE
    found = np.concatenate([session.run(image[None]) for image in batch])
    cosines = (found * in_torch(embedder, batch)).sum(1)
    assert cosines.min() > (0.9 if precision == "int8" else 0.999)


def test_height_and_width_are_not_exchanged(embedder: Embedder, tmp_path: Path) -> None:
    export_onnx(embedder, tmp_path / "model.onnx", size=SIZE)
    session = find_runtime("onnxruntime").open(Model(tmp_path / "model.onnx", "onnxruntime"), threads=1)
    upright = images(1, SIZE)
    with pytest.raises(Exception, match=r"24|48"):
        session.run(torch.rot90(upright, 1, (2, 3)).contiguous().numpy())
