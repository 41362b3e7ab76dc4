"""Zeros in the exported file: the pattern's, each in its place, in each engine's own format too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn

from prunnet_export.building import export_onnx
from prunnet_export.evaluating._zeros import layers_in_place
from prunnet_export.network import Normalised
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.runtimes import Model, find_runtime
from tests._inputs import TINY_RESNET, cut, images, prunable, tiny_resnet
from tests.building._run import run_onnx

SMALL: dict[str, dict[str, BackboneOption]] = {
    "resnet18": TINY_RESNET,
    "vit_tiny_patch16_224": {"depth": 1, "embed_dim": 32, "num_heads": 2},
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "resnext50_32x4d": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "cardinality": 4, "base_width": 32},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


def test_zeros_stay_zeros(folder: Path) -> None:
    [chosen] = find_pattern("unstructured", 1).subnetworks(tiny_resnet(), [0.3])
    module = cut(tiny_resnet(), 0.3, find_pattern("unstructured"))
    file = folder / "zeros.onnx"
    export_onnx(module, file, size=(32, 32))
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer]
    convolutions = {array.shape: 0 for array in stored if array.ndim == 4}
    for array in stored:
        if array.ndim == 4:
            convolutions[array.shape] += int((array == 0).sum())
    expected = dict.fromkeys(convolutions, 0)
    for mask in chosen.masks().values():
        expected[tuple(mask.shape)] += int((~mask).sum())
    assert convolutions == expected


@torch.no_grad()
def test_zeros_in_place_equal_torch(folder: Path) -> None:
    module = cut(tiny_resnet(), 0.5, find_pattern("unstructured"))
    file = folder / "unstructured.onnx"
    export_onnx(module, file, size=(32, 32))
    batch = images(3, 32)
    np.testing.assert_allclose(run_onnx(file, batch), Normalised(module)(batch).numpy(), atol=1e-5, rtol=0)


@cache
def exported_in(pattern: str, backbone: str, folder: Path) -> tuple[Subnetwork, nn.Module, Path]:
    """A small network with half of its weights, and its file."""
    network = prunable(backbone, crop=32, options=SMALL[backbone])
    [chosen] = find_pattern(pattern, 1).subnetworks(network, [0.5])
    module = materialise(network, chosen)
    file = folder / f"{backbone}-{pattern.replace(':', '-')}.onnx"
    export_onnx(module, file, size=(32, 32))
    return chosen, module, file


def holds(pattern: str, weight: npt.NDArray[np.generic]) -> bool:
    """Whether a weight [K, C, ...] has the pattern, and not for want of zeros."""
    rows = weight.reshape(*weight.shape[:2], -1)
    if (weight != 0).all():
        return False
    if pattern == "2:4":
        return weight.shape[1] % 4 == 0 and bool(
            ((rows.reshape(len(rows), -1, 4, rows.shape[2]) != 0).sum(2) <= 2).all()
        )
    return all(((block == 0) == (block[:1] == 0)).all() for block in np.split(rows, range(4, len(rows), 4)))


@pytest.mark.parametrize(
    ("pattern", "backbone"),
    [
        ("2:4", "resnet18"),
        ("2:4", "vit_tiny_patch16_224"),
        ("block", "convnext_atto"),
        ("block", "vit_tiny_patch16_224"),
    ],
)
@torch.no_grad()
def test_the_shipped_file_has_the_pattern(pattern: str, backbone: str, folder: Path) -> None:
    chosen, module, file = exported_in(pattern, backbone, folder)
    batch = images(3, 32)
    np.testing.assert_allclose(run_onnx(file, batch), Normalised(module)(batch).numpy(), atol=1e-5, rtol=0)
    shipped = find_runtime("onnxruntime").read_weights(Model(file, "onnxruntime"))
    stored = [tensor for tensor in shipped.values() if tensor.ndim in {2, 4}]
    # Linear weights may be stored transposed.
    having = [one for one in stored if holds(pattern, one) or (one.ndim == 2 and holds(pattern, one.T))]
    expected = [mask for mask in chosen.masks().values() if not bool(mask.all())]
    assert len(expected) >= 4
    assert sorted(one.size for one in having) == sorted(mask.numel() for mask in expected)
    assert sum(int((one == 0).sum()) for one in having) == chosen.total - chosen.kept


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "mnn"])
@pytest.mark.parametrize(
    ("pattern", "backbone"),
    [("2:4", "vit_tiny_patch16_224"), ("block", "convnext_atto"), ("unstructured", "resnext50_32x4d")],
)
def test_each_runtime_has_every_zero_in_its_place(
    runtime: str, pattern: str, backbone: str, folder: Path, tmp_path: Path
) -> None:
    chosen, _, file = exported_in(pattern, backbone, folder)
    engine = find_runtime(runtime)
    [entry, *_] = engine.compile(file, tmp_path, precision="fp32")
    masks = [mask.numpy() for mask in chosen.masks().values() if not bool(mask.all())]
    stored = engine.read_weights(Model(tmp_path / entry, engine.name)).values()
    assert layers_in_place(masks, stored) == len(masks)
    assert layers_in_place([~mask for mask in masks], stored) == 0
