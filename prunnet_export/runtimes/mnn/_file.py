"""MNN's model files: a FlatBuffer of operators, read without the engine and without generated code.

Source: ``schema/default/MNN.fbs`` and ``CaffeOp.fbs`` of MNN 3.6. The constants are the indices of fields in tables.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._checks import MATRIX_RANK

Weights = npt.NDArray[np.float32]

# Stands for a zero that MNN must not see. It is not denormal, which the converter would round to zero, and smaller than
# any trained weight.
TINY = 1e-30
_LARGEST_TINY = 1e-25

_OPERATORS, _UUID = 3, 11  # fields of the network
_KIND, _PARAMETER, _NAME = 1, 2, 3  # fields of an operator
_BLOB, _CONVOLUTION = 7, 9  # kinds of operators
_SIZES, _FLOATS = 0, 7  # fields of a blob
_COMMON, _WEIGHTS, _ENCODED, _SPARSITY = 0, 1, 3, 5  # fields of a convolution
_KERNEL_X, _KERNEL_Y, _OUTPUTS = 2, 3, 10  # fields of the common part of convolutions
_VALUES, _COUNT, _PLACES = 1, 12, 13  # fields of encoded weights
_ATTRIBUTES = 1  # field of the sparsity
_INTEGER, _KEY = 1, 3  # fields of an attribute


@dataclass(frozen=True)
class Layer:
    """A convolution, or a linear layer, which MNN stores as a 1x1 convolution.

    Attributes:
        name: Name of the operator.
        weights: float32 [outputs, inputs / groups, height, width].
        multiplied: Number of weights that a sparse kernel multiplies, with the zeros in its blocks; None if dense.
    """

    name: str
    weights: Weights
    multiplied: int | None


def layers(content: bytes) -> Iterator[Layer]:
    """The layers of a model that the engine can load; raises InvalidInput if sizes of their weights do not match."""
    for operator in _root(content).tables(_OPERATORS):
        if operator.number(_KIND, "Uint8Flags") == _CONVOLUTION:
            name = operator.text(_NAME)
            try:
                yield _layer(name, operator.table(_PARAMETER))
            except (ValueError, IndexError):
                raise InvalidInput(f"layer {name!r}: its weights do not fit together") from None


def constants(content: bytes) -> Iterator[tuple[str, Weights]]:
    """The float32 constants with two or more dimensions that are not weights of a layer, with their names."""
    for operator in _root(content).tables(_OPERATORS):
        if operator.number(_KIND, "Uint8Flags") == _BLOB:
            blob = operator.table(_PARAMETER)
            sizes = blob.vector(_SIZES, "Int32Flags")
            values = blob.vector(_FLOATS, "Float32Flags")
            if len(sizes) >= MATRIX_RANK and len(values) == math.prod(sizes.tolist()):
                yield operator.text(_NAME), values.reshape(sizes)


def restore_zeros(content: bytes) -> bytes:
    """The same model with zeros in place of :data:`TINY`, and with a UUID that depends only on the contents."""
    changed = bytearray(content)
    root = _root(changed)
    for operator in root.tables(_OPERATORS):
        if operator.number(_KIND, "Uint8Flags") == _CONVOLUTION:
            weights = operator.table(_PARAMETER).vector(_WEIGHTS, "Float32Flags")
            weights[np.abs(weights) <= _LARGEST_TINY] = 0
    identity = root.vector(_UUID, "Uint8Flags")
    identity[:] = ord("0")
    name = str(uuid.UUID(bytes=hashlib.sha256(changed).digest()[:16])).encode()
    if len(identity) == len(name):
        identity[:] = np.frombuffer(name, np.uint8)
    return bytes(changed)


def _layer(name: str, convolution: _Table) -> Layer:
    common, sparsity = convolution.table(_COMMON), convolution.table(_SPARSITY)
    weights = convolution.vector(_WEIGHTS, "Float32Flags")
    encoded = convolution.table(_ENCODED)
    places = encoded.vector(_PLACES, "Uint32Flags")
    if len(places):
        weights = np.zeros(encoded.number(_COUNT, "Uint32Flags"), np.float32)
        weights[places] = encoded.vector(_VALUES, "Float32Flags")
    kernel = [common.number(slot, "Int32Flags", 1) for slot in (_KERNEL_Y, _KERNEL_X)]
    weights = weights.reshape(common.number(_OUTPUTS, "Int32Flags"), -1, *kernel)
    facts = {one.text(_KEY): one.number(_INTEGER, "Int32Flags") for one in sparsity.tables(_ATTRIBUTES)}
    return Layer(name, weights, facts.get("NNZElement"))


def _root(content: bytes | bytearray) -> _Table:
    encode = require("flatbuffers.encode", extra="mnn")
    offset = require("flatbuffers.packer", extra="mnn").uoffset
    return _Table(content, encode.Get(offset, content, 0))


class _Table:
    """A table of a FlatBuffer at a position. Position 0 stands for a missing table, which has no fields."""

    def __init__(self, content: bytes | bytearray, position: int) -> None:
        self._content = content
        self._start = position
        self._table = require("flatbuffers.table", extra="mnn").Table(content, position)

    def _field(self, slot: int) -> int:
        """The offset of a field from the start of the table; 0 if it is missing."""
        return int(self._table.Offset(4 + 2 * slot)) if self._start else 0

    def table(self, slot: int) -> _Table:
        """The table in a field."""
        field = self._field(slot)
        return _Table(self._content, self._table.Indirect(self._start + field) if field else 0)

    def tables(self, slot: int) -> list[_Table]:
        """The tables in a field; an empty list if it is missing."""
        field = self._field(slot)
        if not field:
            return []
        start = self._table.Vector(field)
        places = range(start, start + 4 * self._table.VectorLen(field), 4)
        return [_Table(self._content, self._table.Indirect(place)) for place in places]

    def vector(self, slot: int, kind: str) -> npt.NDArray[Any]:
        """The numbers in a field, as a view of the file; empty if it is missing."""
        field, flags = self._field(slot), self._flags(kind)
        if not field:
            return np.zeros(0, flags.packer_type.format)
        numbers: npt.NDArray[Any] = self._table.GetVectorAsNumpy(flags, field)
        return numbers

    def number(self, slot: int, kind: str, default: int = 0) -> int:
        """The number in a field, or ``default`` if it is missing."""
        field = self._field(slot)
        return int(self._table.Get(self._flags(kind), self._start + field)) if field else default

    def text(self, slot: int) -> str:
        """The text in a field."""
        return self.vector(slot, "Uint8Flags").tobytes().decode(errors="replace")

    @staticmethod
    def _flags(kind: str) -> Any:
        return getattr(require("flatbuffers.number_types", extra="mnn"), kind)
