"""Post-training quantisation of an OpenVINO model to INT8, with NNCF."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._text import one_line
from prunnet_export.runtimes._session import Batch
from prunnet_export.runtimes._silence import silenced
from prunnet_export.runtimes.openvino._signal_stack import same_signal_stack
from prunnet_export.runtimes.openvino._telemetry import no_telemetry

_EXTRA = "openvino-int8"
_LAYERS = frozenset({"Convolution", "GroupConvolution", "MatMul"})


def quantise_openvino(
    model: Any, images: Sequence[Batch], *, layers_only: bool = False, keep_float: Collection[str] = ()
) -> Any:
    """The same network with 8-bit weights and activations. Input, output and open axes stay as they are.

    Weights are int8 with zero point 0 and one scale for each output channel, so that zeros stay zeros. The range of an
    activation goes from the smallest to the largest value that the images give. If it has both signs, it is symmetric.

    Args:
        model: The ``openvino.Model`` of an fp32 network.
        images: Calibration images, each float32 [1, 3, height, width] in 0..1.
        layers_only: Whether only layers are quantised, not sums and other operators, as transformers need it.
        keep_float: Names of the nodes that stay in float32.

    Raises:
        InvalidInput: the images do not fit the model, or it cannot be quantised.
    """
    # nncf makes Core objects of its own. Where it fails, they are deleted with its traceback, in any order.
    with silenced(), same_signal_stack():
        with no_telemetry():
            nncf = require("nncf", extra=_EXTRA)
            ranges = require("nncf.quantization.range_estimator", extra=_EXTRA).RangeEstimatorParametersSet
        # nncf smooths the layers of transformers. That lowers the worst cosine of a Swin-Tiny from 0.9999 to 0.993, and
        # of a ViT-Tiny from 0.9998 to 0.9987.
        alphas = nncf.AdvancedSmoothQuantParameters(matmul=-1, convolution=-1)
        unsmoothed = {"smooth_quant_alphas": alphas} if layers_only else {}
        try:
            _fold_constants(model)
            return nncf.quantize(
                model,
                nncf.Dataset(images),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                model_type=nncf.ModelType.TRANSFORMER if layers_only else None,
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(
                    names=sorted({*_nodes_after_last_layers(model), *keep_float}), validate=False
                ),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    # The default averages the extremes of single images, which clips values. On cuts of the demo
                    # network the worst cosine is 0.87 to 0.95 with it, and 0.995 to 0.999 with MINMAX.
                    activations_range_estimator_params=ranges.MINMAX,
                    # Fast bias correction lowers it as much again. The exact one gains nothing.
                    disable_bias_correction=True,
                    **unsmoothed,
                ),
            )
        except Exception as error:  # noqa: BLE001  nncf's and the engine's exceptions share no narrower base
            raise InvalidInput(
                f"the network cannot be quantised ({one_line(error)})", hint="use another precision"
            ) from None


def _fold_constants(model: Any) -> None:
    # ONNX stores depthwise weights in another shape than OpenVINO. Unless that is folded, nncf leaves them in float32.
    passes = require("openvino.passes", extra=_EXTRA)
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


def _nodes_after_last_layers(model: Any) -> list[str]:
    """The nodes between the last layers with weights and the result: the L2 norm, which 8 bits would distort."""
    waiting = [result.input_value(0).get_node() for result in model.get_results()]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.get_type_name() not in _LAYERS and node.get_friendly_name() not in found:
            found.add(node.get_friendly_name())
            waiting += [source.get_source_output().get_node() for source in node.inputs()]
    return sorted(found)
