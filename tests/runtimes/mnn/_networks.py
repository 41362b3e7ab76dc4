"""Networks whose zeros MNN's sparse kernels take, as ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

Weights = npt.NDArray[np.float32]
WIDTH = 16


def draw(*, seed: int) -> Weights:
    """float32 [16, 16, 3, 3] without a zero."""
    return np.random.default_rng(seed).uniform(0.1, 1, (WIDTH, WIDTH, 3, 3)).astype(np.float32)


def in_blocks(weights: Weights, *, kept: int) -> Weights:
    """The same with all but ``kept`` of every ten blocks of four outputs zero."""
    numbers = np.arange(weights.size // 4).reshape(WIDTH // 4, *weights.shape[1:])
    return np.where(np.repeat(numbers % 10 < kept, 4, axis=0), weights, 0).astype(np.float32)


def scattered(weights: Weights, *, kept: int) -> Weights:
    """The same with all but ``kept`` of every ten weights zero, no block of four outputs whole."""
    chosen = np.random.default_rng(0).permutation(weights.size).reshape(weights.shape) % 10 < kept
    return np.where(chosen, weights, 0).astype(np.float32)


def write(file: Path, *layers: Weights) -> Path:
    """Write 3x3 convolutions in a row, then pool -> linear -> L2 norm over an axis that is an input, 12 px.

    Weights [16, 16 / g, 3, 3] are of a convolution in g groups.
    """
    onnx = pytest.importorskip("onnx")
    helper, to_tensor = onnx.helper, onnx.numpy_helper.from_array
    first = np.random.default_rng(9).normal(size=(WIDTH, 3, 3, 3)).astype(np.float32)
    weights = {"w0": first, **{f"w{index}": layer for index, layer in enumerate(layers, 1)}}
    nodes = [
        helper.make_node(
            "Conv",
            [f"x{index}", name],
            [f"x{index + 1}"],
            name,
            pads=[1, 1, 1, 1],
            group=WIDTH // value.shape[1] if index else 1,
        )
        for index, (name, value) in enumerate(weights.items())
    ]
    weights["head"] = np.random.default_rng(8).normal(size=(8, WIDTH)).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [f"x{len(layers) + 1}"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "head"], ["g"], "gemm", transB=1),
        helper.make_node("ReduceL2", ["g", "axes"], ["n"], "norm", keepdims=1),
        helper.make_node("Div", ["g", "n"], ["embeddings"], "div"),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x0", kind, ["batch", 3, 12, 12])],
        [helper.make_tensor_value_info("embeddings", kind, ["batch", 8])],
        [*(to_tensor(value, name) for name, value in weights.items()), to_tensor(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file
