"""The workload of a model: multiply-adds, weights and activations of each layer, read from the ONNX file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes import read_onnx

_BATCH_ONE = 1


class Layer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One convolution or matrix product, for one image.

    Attributes:
        macs: Number of multiply-adds.
        kept_macs: Multiply-adds of weights that are not zero.
        weights: Number of weights.
        kept_weights: Number of weights that are not zero.
        activations: Number of elements that the layer reads and writes.
    """

    macs: int
    kept_macs: int
    weights: int
    kept_weights: int
    activations: int


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The convolutions and matrix products of a model."""

    layers: tuple[Layer, ...]

    def of_batch(self, size: int) -> Workload:
        """The workload of a batch: multiply-adds and activations of each image, and the weights once."""
        return Workload(
            layers=tuple(
                msgspec.structs.replace(
                    layer,
                    macs=size * layer.macs,
                    kept_macs=size * layer.kept_macs,
                    activations=size * layer.activations,
                )
                for layer in self.layers
            )
        )

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def kept_macs(self) -> int:
        """Multiply-adds of weights that are not zero."""
        return sum(layer.kept_macs for layer in self.layers)

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(layer.weights for layer in self.layers)

    @property
    def activations(self) -> int:
        """Number of elements that the layers read and write."""
        return sum(layer.activations for layer in self.layers)


def read_workload(onnx_file: Path) -> Workload:
    """The workload of an exported subnetwork.

    Only convolutions and matrix products are counted. Other operators take a few per cent of a backbone's time.

    Raises:
        InvalidInput: the file is not ONNX, or it has no inferred shapes.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", extra="host")
    graph = read_onnx(onnx_file).graph
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.output, *graph.value_info)}
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes |= {name: weight.shape for name, weight in weights.items()}
    layers = [_layer(node, shapes, weights) for node in graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    return Workload(layers=tuple(layers))


def _shape(value: Any) -> tuple[int, ...]:
    """The shape for one image. An open axis is the batch and counts as 1."""
    return tuple(size.dim_value or _BATCH_ONE for size in value.type.tensor_type.shape.dim)


def _layer(node: Any, shapes: Mapping[str, Sequence[int]], weights: Mapping[str, npt.NDArray[Any]]) -> Layer:
    try:
        source, result = shapes[node.input[0]], shapes[node.output[0]]
        operand = shapes[node.input[1]]
    except KeyError as error:
        raise InvalidInput(f"the shape of {error} is not in the model", hint="infer shapes first") from None
    weight = weights.get(node.input[1])
    outputs = math.prod(result)
    # A matrix product reduces the last axis of its first operand.
    macs = outputs * (math.prod(operand[1:]) if node.op_type == "Conv" else source[-1])
    kept = 1.0 if weight is None else float(np.count_nonzero(weight)) / max(1, weight.size)
    elements = 0 if weight is None else int(weight.size)
    return Layer(
        macs=macs,
        kept_macs=round(macs * kept),
        weights=elements,
        kept_weights=round(elements * kept),
        activations=math.prod(source) + outputs + (math.prod(operand) if weight is None else 0),
    )
