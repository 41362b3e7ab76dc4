"""Reading TFLite files: their operators, and their weights in the layout of this package."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES
from prunnet_export._text import one_line
from prunnet_export.runtimes._checks import LOAD_HINT, MATRIX_RANK, check_file

EXTRA = "litert"

_IDENTIFIER = b"TFL3"  # bytes 4 to 7 of every TFLite file
# Wider integers are left out: they are shapes, paddings and biases.
_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "UINT8": np.uint8}
# TFLite stores weights as [out, h, w, in], and depthwise ones as [1, h, w, out]. This package has [out, in, h, w].
_TO_OIHW = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}


class TfliteGraph:
    """The graph of a TFLite file that has exactly one.

    Attributes:
        model: The file as mutable objects of flatbuffers.
        graph: The graph in ``model``.
        operators: Names of the graph's operators, in order.

    Raises:
        InvalidInput: the content is not a TFLite file with one graph.
    """

    def __init__(self, content: bytes, *, name: str) -> None:
        utils = require("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
        self._schema = require("ai_edge_litert.schema_py_generated", extra=EXTRA)
        self._content = content
        self._file = name
        if content[4:8] != _IDENTIFIER:
            raise InvalidInput(f"{name}: not a TFLite model (it does not begin like one)", hint=LOAD_HINT)
        try:
            self.model = utils.convert_bytearray_to_object(bytearray(content))
            [self.graph] = self.model.subgraphs
            self.operators = tuple(self.name_of(operator) for operator in self.graph.operators)
        except Exception as error:  # noqa: BLE001  the exceptions of flatbuffers share no narrower base
            raise self._no_model(error) from None
        if not self.operators:
            raise InvalidInput(f"{name}: not a TFLite model (it has no operators)", hint=LOAD_HINT)

    def _no_model(self, error: Exception) -> InvalidInput:
        return InvalidInput(f"{self._file}: not a TFLite model ({one_line(error)})", hint=LOAD_HINT)

    @cached_property
    def _names(self) -> dict[int, str]:
        return {value: key for key, value in vars(self._schema.BuiltinOperator).items() if not key.startswith("_")}

    @cached_property
    def _types(self) -> dict[int, str]:
        return {value: key for key, value in vars(self._schema.TensorType).items() if not key.startswith("_")}

    def name_of(self, operator: Any) -> str:
        """An operator's name, e.g. ``CONV_2D``, or the name that a custom operator has."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        name = self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        return code.customCode.decode() if name == "CUSTOM" else name

    def constant(self, index: int) -> npt.NDArray[np.generic] | None:
        """The values of a constant tensor, without its zero point; None if it is not constant or has another type."""
        tensor = self.graph.tensors[index]
        dtype = _DTYPES.get(self._types[tensor.type])
        buffer = self.model.buffers[tensor.buffer]
        # Large buffers may follow the flatbuffer in the same file.
        data = self._content[buffer.offset : buffer.offset + buffer.size] if buffer.offset else buffer.data
        if dtype is None or data is None or not len(data):
            return None
        values = np.frombuffer(bytes(data), dtype).reshape(tuple(tensor.shape))
        zeros = None if tensor.quantization is None else tensor.quantization.zeroPoint
        if not np.issubdtype(dtype, np.integer) or zeros is None:
            return values
        axes = [1] * values.ndim
        if len(zeros) > 1:
            axes[tensor.quantization.quantizedDimension] = -1
        return values.astype(np.int16) - np.asarray(zeros, np.int16).reshape(axes)

    def weights(self) -> dict[str, npt.NDArray[np.generic]]:
        """The constants with two or more dimensions by name, those of convolutions as [out, in, h, w]."""
        try:
            return self._weights()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._no_model(error) from None

    def _weights(self) -> dict[str, npt.NDArray[np.generic]]:
        found: dict[str, npt.NDArray[np.generic]] = {}
        for operator, name in zip(self.graph.operators, self.operators, strict=True):
            for place, index in enumerate(operator.inputs):
                values = None if index < 0 else self.constant(index)
                if values is not None and values.ndim >= MATRIX_RANK:
                    order = _TO_OIHW.get(name) if place == 1 else None
                    found[self.tensor_name(index)] = values if order is None else values.transpose(order)
        return found

    def tensor_name(self, index: int) -> str:
        """The name of the tensor at this index."""
        return str(self.graph.tensors[index].name.decode())


def read_tflite(file: Path) -> TfliteGraph:
    """The graph of a file; raises InvalidInput if it is missing or not a TFLite file with one graph."""
    check_file(file)
    return TfliteGraph(read_bytes(file, at_most=MODEL_BYTES), name=file.name)
