from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes.mnn._convert import Converter
from prunnet_export.runtimes.mnn._file import TINY, constants, layers, restore_zeros
from tests.runtimes.mnn._networks import draw, in_blocks, write

flatbuffers = pytest.importorskip("flatbuffers")

IDENTITY = "f11f6ad5-5ac6-4c90-b686-e98587c171e7"


def table(builder: Any, fields: dict[int, tuple[str, Any]]) -> int:
    """A table of (kind, value) by slot: an ``offset`` of something written before, or a number."""
    builder.StartObject(max(fields) + 1)
    for slot, (kind, value) in fields.items():
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return int(builder.EndObject())


def tables(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def attribute(builder: Any, key: str, value: int) -> int:
    return table(builder, {3: ("offset", builder.CreateString(key)), 1: ("Int32", value)})


def convolution(builder: Any, fields: dict[int, tuple[str, Any]], *, outputs: int, name: str) -> int:
    common = table(builder, {10: ("Int32", outputs), 2: ("Int32", 2)})
    parameter = table(builder, {0: ("offset", common), **fields})
    return operator(builder, 9, parameter, name)


def operator(builder: Any, kind: int, parameter: int, name: str) -> int:
    text = builder.CreateString(name)
    return table(builder, {1: ("Uint8", kind), 2: ("offset", parameter), 3: ("offset", text)})


def network(builder: Any, operators: list[int]) -> bytes:
    fields = {3: ("offset", tables(builder, operators)), 11: ("offset", builder.CreateString(IDENTITY))}
    builder.Finish(table(builder, fields))
    return bytes(builder.Output())


def floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def dense_network(*weights: float) -> bytes:
    builder = flatbuffers.Builder()
    vector = builder.CreateNumpyVector(floats(*weights))
    return network(builder, [convolution(builder, {1: ("offset", vector)}, outputs=2, name="conv")])


def sparse_network(*, count: int, places: list[int], values: list[float]) -> bytes:
    builder = flatbuffers.Builder()
    encoded = table(
        builder,
        {
            1: ("offset", builder.CreateNumpyVector(floats(*values))),
            12: ("Uint32", count),
            13: ("offset", builder.CreateNumpyVector(np.array(places, np.uint32))),
        },
    )
    facts = tables(builder, [attribute(builder, "NNZElement", 4), attribute(builder, "sparseBlockOC", 4)])
    fields = {3: ("offset", encoded), 5: ("offset", table(builder, {1: ("offset", facts)}))}
    return network(builder, [convolution(builder, fields, outputs=2, name="conv")])


def test_dense_weights_are_outputs_inputs_height_width() -> None:
    [layer] = layers(dense_network(1, 2, 3, 4, 5, 6, 7, 8))
    assert (layer.name, layer.multiplied) == ("conv", None)
    np.testing.assert_array_equal(layer.weights, [[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]])


def test_encoded_weights_are_zero_but_where_it_says() -> None:
    [layer] = layers(sparse_network(count=8, places=[1, 6], values=[2, 7]))
    assert layer.multiplied == 4
    np.testing.assert_array_equal(layer.weights, [[[[0, 2]], [[0, 0]]], [[[0, 0]], [[7, 0]]]])


@pytest.mark.parametrize(
    "content",
    [
        dense_network(1, 2, 3),
        sparse_network(count=8, places=[8], values=[1]),
        sparse_network(count=8, places=[1, 2], values=[1, 2, 3]),
    ],
)
def test_weights_that_do_not_fit_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="layer 'conv'"):
        list(layers(content))


def test_constants_are_matrices_of_floats_alone() -> None:
    builder = flatbuffers.Builder()

    def blob(name: str, sizes: list[int], values: npt.NDArray[np.float32]) -> int:
        fields = {
            0: ("offset", builder.CreateNumpyVector(np.array(sizes, np.int32))),
            7: ("offset", builder.CreateNumpyVector(values)),
        }
        return operator(builder, 7, table(builder, fields), name)

    content = network(
        builder,
        [blob("matrix", [2, 1], floats(1, 2)), blob("vector", [2], floats(1, 2)), blob("empty", [2, 1], floats())],
    )
    [(name, values)] = constants(content)
    assert name == "matrix"
    np.testing.assert_array_equal(values, [[1], [2]])
    assert list(layers(content)) == []


def test_settling_puts_zeros_back_and_changes_no_other_weight() -> None:
    content = dense_network(1, TINY, -TINY, 1e-20, -3, 0, 7, 8)
    [layer] = layers(restore_zeros(content))
    np.testing.assert_array_equal(layer.weights.ravel(), floats(1, 0, 0, 1e-20, -3, 0, 7, 8))


def test_an_identity_depends_on_the_contents_alone() -> None:
    one, other = dense_network(*range(8)), dense_network(*range(1, 9))
    renamed = one.replace(IDENTITY.encode(), IDENTITY[::-1].encode())
    assert renamed != one
    assert restore_zeros(one) == restore_zeros(renamed)
    assert IDENTITY.encode() not in restore_zeros(one)
    assert len(restore_zeros(one)) == len(one)
    differing = sum(a != b for a, b in zip(restore_zeros(one), restore_zeros(other), strict=True))
    assert differing > sum(a != b for a, b in zip(one, other, strict=True))


def test_settling_twice_is_settling_once() -> None:
    once = restore_zeros(dense_network(1, TINY, 3, 4, 5, 6, 7, 8))
    assert restore_zeros(once) == once


def test_reads_what_the_converter_writes(tmp_path: Path) -> None:
    pytest.importorskip("MNN")
    weights = in_blocks(draw(seed=1), kept=2)
    found = {layer.name: layer for layer in layers(Converter(write(tmp_path / "n.onnx", weights)).sparse())}
    assert {name: layer.weights.shape for name, layer in found.items()} == {
        "x1": (16, 3, 3, 3),
        "x2": (16, 16, 3, 3),
        "g__matmul_converted": (8, 16, 1, 1),
    }
    np.testing.assert_array_equal(found["x2"].weights, weights)
