"""Multiply-adds and elements against a count by hand, and against torch's own counter."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from prunnet_export._errors import InvalidInput
from prunnet_export.building import export_onnx
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.prediction import read_workload
from tests._inputs import prunable, tiny_resnet


def conv(tmp_path: Path, *, zeros: bool = False) -> Path:
    """One 3x3 convolution of 4 to 8 channels on 10 x 10."""
    weight = torch.ones(8, 4, 3, 3)
    if zeros:
        weight[:, :2] = 0
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [value("x", onnx.TensorProto.FLOAT, ["batch", 4, 10, 10])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", 8, 10, 10])],
        [onnx.numpy_helper.from_array(weight.numpy(), "w")],
    )
    file = tmp_path / "conv.onnx"
    onnx.save(onnx.helper.make_model(graph), file)
    return file


def test_golden(tmp_path: Path) -> None:
    [layer] = read_workload(conv(tmp_path)).layers
    assert layer.macs == layer.kept_macs == 8 * 10 * 10 * 4 * 9
    assert layer.weights == layer.kept_weights == 8 * 4 * 9
    assert layer.activations == 4 * 100 + 8 * 100


def test_zeros(tmp_path: Path) -> None:
    [layer] = read_workload(conv(tmp_path, zeros=True)).layers
    assert layer.kept_macs == layer.macs // 2
    assert layer.kept_weights == layer.weights // 2


@pytest.mark.parametrize("backbone", ["resnet18", "vit"])
def test_equals_the_count_of_torch(backbone: str, tmp_path: Path) -> None:
    network = (
        tiny_resnet()
        if backbone == "resnet18"
        else prunable(
            "vit_tiny_patch16_224", crop=32, options={"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32}
        )
    )
    [cut] = find_pattern("channel").subnetworks(network, [0.5])
    module = materialise(network, cut)
    export_onnx(module, tmp_path / "m.onnx", size=(32, 32))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(torch.zeros(1, 3, 32, 32))
    assert read_workload(tmp_path / "m.onnx").macs == pytest.approx(counter.get_total_flops() / 2, rel=0.03)


def test_what_is_no_onnx(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"\x99nothing")
    with pytest.raises(InvalidInput, match=r"m\.onnx: not an ONNX model"):
        read_workload(file)
