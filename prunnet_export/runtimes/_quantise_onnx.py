"""Post-training INT8 of an ONNX model, written as Q/DQ nodes that engines fuse into integer kernels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._checks import one_line
from prunnet_export.runtimes._session import Batch
from prunnet_export.runtimes._silence import silenced

_EXTRA = "host"
_LAYERS = ("Conv", "Gemm", "MatMul")
# Between two layers everything stays in 8 bits: residual sums, what clips, what pools. Nothing else is touched, so
# the standardisation of the image and the L2 norm of the embedding stay in float32.
_PASSED_IN_INT8 = ("Add", "Relu", "Clip", "MaxPool")


def quantise_onnx(model: Any, images: Iterable[Batch], *, symmetric: bool) -> Any:
    """The same network with 8-bit weights and activations, float32 in and out, dynamic where it was.

    An activation x becomes s (clamp(round(x / s) + z) - z), with s and z from the smallest and the largest value that
    the images give. Weights are int8 with z = 0 and one s for each output channel, so that zeros stay zeros.

    Args:
        model: The ``onnx.ModelProto`` of an fp32 network; it may be changed.
        images: Calibration images, each float32 [1, 3, height, width] in 0..1.
        symmetric: Activations are int8 with z = 0, biases stay float32, and the inputs alone of layers and of sums are
            quantised, as TensorRT wants it. Otherwise activations are uint8, what x86 processors multiply by int8 in
            one instruction, and the outputs of layers are quantised too, so that ONNX Runtime fuses what is between.

    Raises:
        InvalidInput: the images do not fit the model, or it cannot be quantised.
    """
    onnx = require("onnx", extra=_EXTRA)
    tools = require("onnxruntime.quantization", extra=_EXTRA)
    prepare = require("onnxruntime.quantization.shape_inference", extra=_EXTRA).quant_pre_process
    with TemporaryDirectory(prefix="prunnet-quantise-") as temporary, silenced():
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
                # The smallest and the largest of all values: percentiles and moving averages forget the rare image
                # that a gate on the worst cosine is about.
                calibrate_method=tools.CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "QuantizeBias": not symmetric,
                    # The embedding itself is not rounded to 8 bits.
                    "OpTypesToExcludeOutputQuantization": [*_LAYERS, "Add"] if symmetric else ["Gemm"],
                },
            )
        except Exception as error:  # noqa: BLE001  the engine's and the tool's exceptions share no narrower base
            raise InvalidInput(
                f"the network cannot be quantised ({one_line(error)})", hint="use another precision"
            ) from None
        quantised = onnx.load(result)
    used = {node.domain for node in quantised.graph.node}
    kept = [imported for imported in quantised.opset_import if imported.domain in used]
    del quantised.opset_import[:]  # ONNX Runtime names every set that it knows
    quantised.opset_import.extend(kept)
    return quantised
