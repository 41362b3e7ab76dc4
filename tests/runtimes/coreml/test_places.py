"""The package and its twin compute the same operations in the same precision."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from prunnet_export.building import export_onnx
from prunnet_export.network import Normalised
from prunnet_export.network_config import BackboneOption
from prunnet_export.runtimes import CompileInputs
from prunnet_export.runtimes.coreml import CoreMl
from prunnet_export.runtimes.coreml._package import read_program
from tests._inputs import prunable

onnx = pytest.importorskip("onnx")
pytest.importorskip("coremltools")
types = pytest.importorskip("coremltools.converters.mil.mil").types

CROP = 64
SMALL: dict[str, dict[str, BackboneOption]] = {
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "resnet18": {"channels": [8, 8, 8, 8]},
    "vit_tiny_patch16_224": {"depth": 2, "embed_dim": 48, "num_heads": 3},
}
# The same kind of operation, by its name in Core ML and in ONNX.
KINDS = {
    "conv": "convolution",
    "Conv": "convolution",
    "linear": "product",
    "matmul": "product",
    "Gemm": "product",
    "MatMul": "product",
    "layer_norm": "layer norm",
    "LayerNormalization": "layer norm",
    "softmax": "softmax",
    "Softmax": "softmax",
    "gelu": "gelu",
    "Erf": "gelu",
    "relu": "relu",
    "Relu": "relu",
    "sub": "difference",
    "Sub": "difference",
    "reduce_l2_norm": "L2 norm",
    "ReduceL2": "L2 norm",
}


def in_package(file: Path) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for operation in read_program(file).operations:
        if operation.op_type in KINDS:
            kind = operation.outputs[0].sym_type
            dtype = kind.get_primitive() if hasattr(kind, "get_primitive") else operation.outputs[0].dtype
            found[KINDS[operation.op_type], types.builtin_to_string(dtype)] += 1
    return found


def in_twin(model: Any) -> Counter[tuple[str, str]]:
    names = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16"}
    values = [*model.graph.value_info, *model.graph.output]
    types_of = {value.name: names.get(value.type.tensor_type.elem_type, "other") for value in values}
    return Counter(
        (KINDS[node.op_type], types_of[node.output[0]]) for node in model.graph.node if node.op_type in KINDS
    )


@pytest.mark.parametrize("name", SMALL)
def test_package_and_twin_agree(name: str, tmp_path: Path) -> None:
    embedder = prunable(name, crop=CROP, options=SMALL[name]).embedder
    export_onnx(embedder, tmp_path / "network.onnx", size=(CROP, CROP))
    inputs = CompileInputs(module=lambda: Normalised(embedder).eval())
    names = CoreMl().compile(tmp_path / "network.onnx", tmp_path, precision="fp16", inputs=inputs)
    package = in_package(tmp_path / names[0])
    assert package == in_twin(onnx.load(tmp_path / "model.onnx"))
    assert package["difference", "fp32"] == package["L2 norm", "fp32"] == 1
    assert package["product", "fp16"] > 0
    assert not package["layer norm", "fp16"]
