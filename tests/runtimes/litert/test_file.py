from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.runtimes.litert._file import TfliteGraph, read_tflite

pytest.importorskip("ai_edge_litert")

Values = npt.NDArray[np.generic]


def tflite(
    operator: str, weights: Values, *, zero_points: list[int] | None = None, axis: int = 0, behind: bool = False
) -> bytes:
    """A file with one operator, whose second input is constant."""
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    utils: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    model, graph = schema.ModelT(), schema.SubGraphT()
    code, node = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, operator)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    node.opcodeIndex, node.inputs, node.outputs = 0, [0, 1], [2]
    model.version, model.operatorCodes = 3, [code]
    model.buffers = [schema.BufferT() for _ in range(3)]
    graph.tensors = []
    for index, name in enumerate((b"source", b"weight", b"result")):
        tensor = schema.TensorT()
        tensor.name, tensor.buffer, tensor.shape = name, index, [1]
        graph.tensors.append(tensor)
    constant = graph.tensors[1]
    constant.shape = list(weights.shape)
    constant.type = getattr(schema.TensorType, weights.dtype.name.upper())
    if zero_points is not None:
        constant.quantization = schema.QuantizationParametersT()
        constant.quantization.zeroPoint = zero_points
        constant.quantization.quantizedDimension = axis
    model.buffers[1].data = np.frombuffer(weights.tobytes(), np.uint8)
    graph.inputs, graph.outputs, graph.operators = [0], [2], [node]
    model.subgraphs = [graph]
    content = bytes(utils.convert_object_to_bytearray(model))
    if behind:
        model.buffers[1].data, model.buffers[1].size = None, weights.nbytes
        model.buffers[1].offset = 1 << 20  # wide enough that packing again changes no length
        size = len(bytes(utils.convert_object_to_bytearray(model)))
        model.buffers[1].offset = size
        content = bytes(utils.convert_object_to_bytearray(model)) + weights.tobytes()
    return content


def weight(content: bytes) -> Values:
    [found] = TfliteGraph(content, name="m.tflite").weights().values()
    return found


@cache
def a_file() -> bytes:
    return tflite("CONV_2D", np.arange(1, 25, dtype=np.float32).reshape(2, 2, 2, 3))


def test_convolutions_are_given_output_first() -> None:
    weights = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)  # out, h, w, in
    found = weight(tflite("CONV_2D", weights))
    assert found.shape == (2, 3, 2, 2)
    assert found[1, 2, 0, 1] == weights[1, 0, 1, 2]


def test_depthwise_convolutions_are_given_output_first() -> None:
    weights = np.arange(20, dtype=np.float32).reshape(1, 2, 2, 5)  # 1, h, w, out
    found = weight(tflite("DEPTHWISE_CONV_2D", weights))
    assert found.shape == (5, 1, 2, 2)
    assert found[4, 0, 1, 0] == weights[0, 1, 0, 4]


@pytest.mark.parametrize("operator", ["FULLY_CONNECTED", "MUL"])
def test_other_constants_are_given_as_they_are(operator: str) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(weight(tflite(operator, weights)), weights)


@pytest.mark.parametrize("behind", [False, True])
def test_integers_are_given_less_their_zero_point(behind: bool) -> None:
    weights = np.array([[-128, 3, 127], [5, 5, 6]], np.int8)
    found = weight(tflite("FULLY_CONNECTED", weights, zero_points=[3], behind=behind))
    assert found.tolist() == [[-131, 0, 124], [2, 2, 3]]


@pytest.mark.parametrize(("axis", "expected"), [(0, [[-1, 1], [0, 2]]), (1, [[-1, 0], [1, 2]])])
def test_zero_points_belong_to_an_axis(axis: int, expected: list[list[int]]) -> None:
    weights = np.array([[0, 2], [2, 4]], np.int8)
    assert weight(tflite("FULLY_CONNECTED", weights, zero_points=[1, 2], axis=axis)).tolist() == expected


def test_shapes_and_biases_are_no_weights() -> None:
    for values in (np.ones((4, 2), np.int32), np.ones(4, np.float32)):
        assert TfliteGraph(tflite("PAD", values), name="m.tflite").weights() == {}


def test_operators_go_by_name() -> None:
    graph = TfliteGraph(tflite("BROADCAST_TO", np.ones((2, 2), np.float32)), name="m.tflite")  # its code is beyond 127
    assert graph.operators == ("BROADCAST_TO",)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 100, b"\x1c\0\0\0TFL3", b"\x1c\0\0\0TFL3" + b"\xff" * 99])
def test_a_file_that_is_none_is_one_short_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"^m\.tflite: not a TFLite model") as caught:
        read_tflite(file).weights()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        read_tflite(tmp_path / "nowhere.tflite")


def test_a_tensor_beyond_the_file_is_refused() -> None:
    weights = np.ones((4, 4), np.float32)
    content = tflite("FULLY_CONNECTED", weights, behind=True)
    with pytest.raises(InvalidInput, match="not a TFLite model"):
        weight(content[:-8])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8), st.integers(0, 10_000))
@example([], 10_000)
def test_damage_is_refused_or_does_not_matter(damage: list[tuple[int, int]], keep: int) -> None:
    content = bytearray(a_file()[: max(8, keep)])
    for place, value in damage:
        content[place % len(content)] = value
    try:
        found = TfliteGraph(bytes(content), name="m.tflite").weights()
    except InvalidInput:
        return
    assert all(tensor.ndim > 1 for tensor in found.values())


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    content = a_file()
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as caught:
        TfliteGraph(content, name="m.tflite")
    assert "prunnet-export[litert]" in caught.value.hint
