"""Post-training INT8 of an ONNX model, written as Q/DQ nodes that engines fuse into integer kernels."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._temporary import TemporaryFolder
from prunnet_export._text import one_line
from prunnet_export.runtimes._kinds import depthwise_with_silu, is_transformer, sums
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._session import Batch
from prunnet_export.runtimes._silence import silenced

_EXTRA = "host"
_LAYERS = ("Conv", "Gemm", "MatMul")
# Operators between layers that run in 8 bits. No other operator is quantised, so the standardisation of the image and
# the L2 norm of the embedding stay in float32.
_PASSED_IN_INT8 = ("Add", "Relu", "Clip", "MaxPool")


class OnnxQuantiser:
    """Measures the ranges of activations once, and then quantises the network with any set of nodes left in float.

    An activation x becomes s (clamp(round(x / s) + z) - z). s and z follow from the smallest and the largest value that
    the images give. Weights are int8 with z = 0 and one s for each output channel, so that zeros stay zeros. The sums
    of transformers always stay in float32.

    Args:
        model: The ``onnx.ModelProto`` of an fp32 network; it may be changed.
        images: Calibration images, each float32 [1, 3, height, width] in 0..1.
        symmetric: True for TensorRT: activations are int8 with z = 0, biases stay float32, and only the inputs of
            layers and of sums are quantised. False for ONNX Runtime: activations are uint8, because x86 processors
            multiply uint8 by int8 in one instruction, and outputs of layers are quantised too, so that it can fuse.

    Attributes:
        prepared: The fp32 network whose nodes are quantised.

    Raises:
        InvalidInput: the images do not fit the model.
    """

    def __init__(self, model: Any, images: Iterable[Batch], *, symmetric: bool) -> None:
        onnx = require("onnx", extra=_EXTRA)
        self._tools = require("onnxruntime.quantization", extra=_EXTRA)
        prepare = require("onnxruntime.quantization.shape_inference", extra=_EXTRA).quant_pre_process
        self._symmetric = symmetric
        self._kinds = [*_LAYERS, "Add"] if symmetric else [*_LAYERS, *_PASSED_IN_INT8]
        inputs = ({model.graph.input[0].name: image} for image in images)
        with TemporaryFolder("quantise") as temporary, silenced():
            source, prepared, augmented = (
                Path(temporary) / f"{name}.onnx" for name in ("source", "prepared", "ranges")
            )
            onnx.save(model, source)
            try:
                prepare(source, prepared, skip_symbolic_shape=True)
                calibrator = self._tools.create_calibrator(
                    prepared,
                    self._kinds,
                    augmented_model_path=str(augmented),
                    # Percentiles and moving averages ignore rare images, which decide the gate on the worst cosine.
                    calibrate_method=self._tools.CalibrationMethod.MinMax,
                )
                calibrator.collect_data(SimpleNamespace(get_next=lambda: next(inputs, None)))
                self._ranges = calibrator.compute_data()
            except Exception as error:  # noqa: BLE001  the engine's and the tool's exceptions share no narrower base
                raise _refused(error) from None
            self.prepared = read_onnx(prepared)
        self._float = sums(self.prepared) if is_transformer(self.prepared) else frozenset()
        if symmetric:
            self._float |= depthwise_with_silu(self.prepared)

    def quantise(self, keep_float: Collection[str] = ()) -> Any:
        """The network with 8-bit weights and activations. Input, output and open axes stay as they are.

        Args:
            keep_float: Names of the nodes of :attr:`prepared` that stay in float32.

        Raises:
            InvalidInput: the network cannot be quantised.
        """
        onnx = require("onnx", extra=_EXTRA)
        model, symmetric, tools = onnx.ModelProto(), self._symmetric, self._tools
        model.CopyFrom(self.prepared)
        quantizer = require("onnxruntime.quantization.qdq_quantizer", extra=_EXTRA).QDQQuantizer
        with silenced():
            try:
                work = quantizer(
                    model,
                    per_channel=True,
                    reduce_range=False,
                    weight_qType=tools.QuantType.QInt8,
                    activation_qType=tools.QuantType.QInt8 if symmetric else tools.QuantType.QUInt8,
                    tensors_range=self._ranges,
                    nodes_to_quantize=[],
                    nodes_to_exclude=sorted(self._float.union(keep_float)),
                    op_types_to_quantize=self._kinds,
                    extra_options={
                        "ActivationSymmetric": symmetric,
                        "QuantizeBias": not symmetric,
                        # The embedding stays float32.
                        "OpTypesToExcludeOutputQuantization": [*_LAYERS, "Add"] if symmetric else ["Gemm"],
                    },
                )
                work.quantize_model()
                work.model.topological_sort()
            except Exception as error:  # noqa: BLE001  the tool's exceptions share no narrower base
                raise _refused(error) from None
        return _with_used_operator_sets(work.model.model)


def quantise_onnx(model: Any, images: Iterable[Batch], *, symmetric: bool, keep_float: Collection[str] = ()) -> Any:
    """The same network in INT8, with all nodes quantised that can be; the arguments are those of OnnxQuantiser."""
    return OnnxQuantiser(model, images, symmetric=symmetric).quantise(keep_float)


def _refused(error: Exception) -> InvalidInput:
    return InvalidInput(f"the network cannot be quantised ({one_line(error)})", hint="use another precision")


def _with_used_operator_sets(quantised: Any) -> Any:
    used = {node.domain for node in quantised.graph.node}
    kept = [imported for imported in quantised.opset_import if imported.domain in used]
    del quantised.opset_import[:]  # ONNX Runtime lists every operator set that it knows
    quantised.opset_import.extend(kept)
    return quantised
