"""Post-training INT8 of an ONNX model, written as Q/DQ nodes that engines fuse into integer kernels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._temporary import TemporaryFolder
from prunnet_export._text import one_line
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._session import Batch
from prunnet_export.runtimes._silence import silenced

_EXTRA = "host"
_LAYERS = ("Conv", "Gemm", "MatMul")
# Operators between layers that run in 8 bits. No other operator is quantised, so the standardisation of the image and
# the L2 norm of the embedding stay in float32.
_PASSED_IN_INT8 = ("Add", "Relu", "Clip", "MaxPool")


def quantise_onnx(model: Any, images: Iterable[Batch], *, symmetric: bool) -> Any:
    """The same network with 8-bit weights and activations. Input, output and open axes stay as they are.

    An activation x becomes s (clamp(round(x / s) + z) - z). s and z follow from the smallest and the largest value that
    the images give. Weights are int8 with z = 0 and one s for each output channel, so that zeros stay zeros.

    Args:
        model: The ``onnx.ModelProto`` of an fp32 network; it may be changed.
        images: Calibration images, each float32 [1, 3, height, width] in 0..1.
        symmetric: True for TensorRT: activations are int8 with z = 0, biases stay float32, and only the inputs of
            layers and of sums are quantised. False for ONNX Runtime: activations are uint8, because x86 processors
            multiply uint8 by int8 in one instruction, and outputs of layers are quantised too, so that it can fuse.

    Raises:
        InvalidInput: the images do not fit the model, or it cannot be quantised.
    """
    onnx = require("onnx", extra=_EXTRA)
    tools = require("onnxruntime.quantization", extra=_EXTRA)
    prepare = require("onnxruntime.quantization.shape_inference", extra=_EXTRA).quant_pre_process
    with TemporaryFolder("quantise") as temporary, silenced():
        source, prepared, result = (Path(temporary) / name for name in ("source.onnx", "prepared.onnx", "result.onnx"))
        onnx.save(model, source)
        inputs = ({model.graph.input[0].name: image} for image in images)
        try:
            prepare(source, prepared, skip_symbolic_shape=True)
            tools.quantize_static(
                prepared,
                result,
                SimpleNamespace(get_next=lambda: next(inputs, None)),
                quant_format=tools.QuantFormat.QDQ,
                op_types_to_quantize=[*_LAYERS, "Add"] if symmetric else [*_LAYERS, *_PASSED_IN_INT8],
                per_channel=True,
                activation_type=tools.QuantType.QInt8 if symmetric else tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
                # Percentiles and moving averages ignore rare images, which decide the gate on the worst cosine.
                calibrate_method=tools.CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "QuantizeBias": not symmetric,
                    # The embedding stays float32.
                    "OpTypesToExcludeOutputQuantization": [*_LAYERS, "Add"] if symmetric else ["Gemm"],
                },
            )
        except Exception as error:  # noqa: BLE001  the engine's and the tool's exceptions share no narrower base
            raise InvalidInput(
                f"the network cannot be quantised ({one_line(error)})", hint="use another precision"
            ) from None
        quantised = read_onnx(result)
    used = {node.domain for node in quantised.graph.node}
    kept = [imported for imported in quantised.opset_import if imported.domain in used]
    del quantised.opset_import[:]  # ONNX Runtime lists every operator set that it knows
    quantised.opset_import.extend(kept)
    return quantised
