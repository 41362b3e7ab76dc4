from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes._onnx_fp16 import to_fp16
from tests._asserts import assert_one_line
from tests._inputs import images
from tests.runtimes._graphs import exported, graph_of, load, run, weights_of

NODE = helper.make_node


def matrix(weight: Any) -> Any:
    """images / 2 -> flatten -> matrix -> L2 norm."""
    nodes = [
        NODE("Mul", ["images", "half"], ["m"]),
        NODE("Flatten", ["m"], ["f"]),
        NODE("MatMul", ["f", "weight"], ["p"]),
        NODE("LpNormalization", ["p"], ["embeddings"], axis=1, p=2),
    ]
    return graph_of(nodes, {"half": np.float32(0.5), "weight": weight}, shapes=(("b", 1, 1, 2), ("b", 2)))


def kinds(model: Any) -> dict[str, int]:
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_embeddings_stay_where_they_were(backbone: str) -> None:
    model = load(exported(backbone))
    batch = images(4, 32).numpy()
    before, after = run(model, batch), run(to_fp16(model), batch)
    assert after.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-6)  # normed in float32
    assert (before * after).sum(1).min() > 0.9999
    assert not np.array_equal(before, after)  # the weights are rounded


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_work_is_fp16_and_its_ends_are_not(backbone: str) -> None:
    half = to_fp16(load(exported(backbone)))
    known = kinds(half)
    weights = weights_of(half)
    work = [node for node in half.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    assert len(work) >= 6
    for node in work:
        assert known[node.output[0]] == TensorProto.FLOAT16
        assert {weights[name].dtype for name in node.input if name in weights} <= {np.dtype(np.float16)}
    assert known["images"] == known["embeddings"] == TensorProto.FLOAT
    assert {known[name] for name in ("sub", "div", "linalg_vector_norm")} == {TensorProto.FLOAT}
    assert weights["embedder.mean"].dtype == weights["embedder.std"].dtype == np.float32
    between = [node.op_type for node in half.graph.node if node.op_type == "Cast"]
    assert len(between) == (2 if backbone == "resnet18" else 9)


def test_layer_norms_stay_float32() -> None:
    half = to_fp16(load(exported("vit_tiny_patch16_224")))
    norms = [node for node in half.graph.node if node.op_type == "LayerNormalization"]
    assert len(norms) == 3
    assert {kinds(half)[node.output[0]] for node in norms} == {TensorProto.FLOAT}


def test_zeros_stay_in_their_places() -> None:
    model = load(exported("resnet18"))
    before, after = weights_of(model), weights_of(to_fp16(model))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(weight == 0, after[name] == 0)
    assert sum(int((weight == 0).sum()) for weight in after.values()) > 10_000


def test_only_named_nodes_change() -> None:
    model = load(exported("resnet18"))
    chosen = [node.name for node in model.graph.node if node.op_type == "Conv"][4:6]
    half = to_fp16(model, only=chosen)
    types = kinds(half)
    assert {node.name for node in half.graph.node if types.get(node.output[0]) == TensorProto.FLOAT16} - {
        node.name for node in half.graph.node if node.op_type == "Cast"
    } == {*chosen}
    assert (run(half, images(3, 32).numpy()) * run(model, images(3, 32).numpy())).sum(1).min() > 0.9999


def test_the_original_is_not_changed() -> None:
    model = matrix(np.eye(2, dtype=np.float32))
    before = model.SerializeToString()
    to_fp16(model)
    assert model.SerializeToString() == before


@given(arrays.arrays(np.float32, (2, 2), elements=st.floats(-65504, 65504, width=32)))
def test_weights_are_the_nearest_that_fp16_has(weight: np.ndarray) -> None:
    rounded = weights_of(to_fp16(matrix(weight)))["weight"]
    assert rounded.dtype == np.float16
    error = np.abs(rounded.astype(np.float64) - weight)
    assert (error <= np.maximum(2.0**-11 * np.abs(weight), 2.0**-25)).all()
    assert (rounded[weight == 0] == 0).all()


def test_golden_values() -> None:
    weight = np.array([[1 + 2**-12, 65504], [2**-25, -(2**-24)]], np.float32)
    assert weights_of(to_fp16(matrix(weight)))["weight"].tolist() == [[1, 65504], [0, -(2**-24)]]


@pytest.mark.parametrize("value", [65520, -1e30, np.inf, np.nan])
def test_what_fp16_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match=r"'weight' holds values beyond 65504") as raised:
        to_fp16(matrix(np.array([[1, 2], [3, value]], np.float32)))
    assert_one_line(raised.value)


def test_a_large_constant_outside_of_the_work_stays() -> None:
    model = matrix(np.eye(2, dtype=np.float32))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array(1e6, np.float32), "half"))
    assert weights_of(to_fp16(model))["half"] == np.float32(1e6)


def test_a_constant_of_both_parts_is_kept_for_each() -> None:
    nodes = [
        NODE("Mul", ["images", "two"], ["m"]),
        NODE("Conv", ["m", "w"], ["c"], kernel_shape=[1, 1]),
        NODE("Mul", ["c", "two"], ["d"]),
        NODE("Conv", ["d", "w"], ["e"], kernel_shape=[1, 1]),
        NODE("ReduceMean", ["e", "axes"], ["embeddings"], keepdims=0),
    ]
    weight = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3, 1, 1)
    constants = {"two": np.float32(2), "w": weight, "axes": np.array([2, 3])}
    model = graph_of(nodes, constants, shapes=(("b", 3, 8, 8), ("b", 3)))
    half = to_fp16(model)
    dtypes = {name: value.dtype for name, value in weights_of(half).items() if name != "axes"}
    assert dtypes == {"two": np.float32, "two/fp16": np.float16, "w": np.float16}
    batch = images(2, 8).numpy()
    np.testing.assert_allclose(run(half, batch), run(model, batch), rtol=1e-2, atol=1e-3)


def test_operators_that_know_float32_alone_stay() -> None:
    nodes = [
        NODE("Conv", ["images", "w"], ["c"], kernel_shape=[1, 1]),
        NODE("Resize", ["c", "", "scales"], ["r"], mode="nearest"),  # its scales are float32 by definition
        NODE("Conv", ["r", "w"], ["d"], kernel_shape=[1, 1]),
        NODE("ReduceMean", ["d", "axes"], ["embeddings"], keepdims=0),
    ]
    constants = {
        "w": np.ones((3, 3, 1, 1), np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "axes": np.array([2, 3]),
    }
    half = to_fp16(graph_of(nodes, constants, shapes=(("b", 3, 8, 8), ("b", 3))))
    known = kinds(half)
    assert {name: known[name] for name in ("c", "c/fp32", "r", "r/fp16", "d", "d/fp32")} == {
        "c": TensorProto.FLOAT16,
        "c/fp32": TensorProto.FLOAT,
        "r": TensorProto.FLOAT,
        "r/fp16": TensorProto.FLOAT16,
        "d": TensorProto.FLOAT16,
        "d/fp32": TensorProto.FLOAT,
    }
    assert weights_of(half)["scales"].dtype == np.float32


def test_a_network_that_ends_in_work_gives_float32_all_the_same() -> None:
    nodes = [NODE("Flatten", ["images"], ["f"]), NODE("MatMul", ["f", "w"], ["embeddings"])]
    half = to_fp16(graph_of(nodes, {"w": np.eye(192, 4, dtype=np.float32)}))
    assert kinds(half)["embeddings"] == TensorProto.FLOAT
    assert run(half, images(2, 8).numpy()).shape == (2, 4)


def test_branches_are_refused() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4])
    branch = helper.make_graph([NODE("Identity", ["p"], ["x"])], "branch", [], [value])
    nodes = [
        NODE("Flatten", ["images"], ["f"]),
        NODE("MatMul", ["f", "w"], ["p"]),
        NODE("If", ["yes"], ["embeddings"], then_branch=branch, else_branch=branch),
    ]
    model = graph_of(nodes, {"w": np.zeros((192, 4), np.float32), "yes": np.array(True)})
    with pytest.raises(InvalidInput, match="branches or loops"):
        to_fp16(model)


def test_a_graph_that_is_wrong_is_one_line() -> None:
    nodes = [NODE("Flatten", ["images"], ["f"]), NODE("MatMul", ["f", "w"], ["embeddings"])]
    with pytest.raises(InvalidInput, match="cannot be made fp16") as raised:
        to_fp16(graph_of(nodes, {"w": np.zeros((5, 4), np.float32)}))
    assert_one_line(raised.value)
