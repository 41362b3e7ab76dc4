"""Writing TFLite files: litert-torch converts from torch, and the AI Edge Quantizer quantises to INT8."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._text import one_line
from prunnet_export.runtimes._session import Batch
from prunnet_export.runtimes._silence import silenced
from prunnet_export.runtimes.litert._file import TfliteGraph

EXTRA = "litert-export"

_BITS = 8
_SQRT_EXPONENT = 0.5
_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def convert(module: Any, shape: tuple[int, ...]) -> bytes:
    """A torch module in evaluation mode as a float32 TFLite file with a fixed input shape, e.g. (1, 3, 224, 224).

    It raises InvalidInput if the module cannot be converted.
    """
    torch = require("torch", extra="train")
    with silenced():
        converter = require("litert_torch", extra=EXTRA)
        try:
            content = bytes(converter.convert(module, (torch.zeros(shape),)).model_content())
        except Exception as error:  # noqa: BLE001  the exceptions of torch, MLIR and the converter share no base
            raise InvalidInput(
                f"the network cannot be converted to LiteRT ({one_line(error)})", hint="choose another backbone"
            ) from None
    return _replace_pow_by_sqrt(content)


def _replace_pow_by_sqrt(content: bytes) -> bytes:
    """Replace x^0.5 by sqrt(x), because TensorFlow Lite for Microcontrollers has no operator POW."""
    schema = require("ai_edge_litert.schema_py_generated", extra=EXTRA)
    file = TfliteGraph(content, name="the converted network")
    root = schema.OperatorCodeT()
    root.builtinCode = root.deprecatedBuiltinCode = schema.BuiltinOperator.SQRT
    root.version = 1
    for operator, name in zip(file.graph.operators, file.operators, strict=True):
        exponent = file.constant(operator.inputs[1]) if name == "POW" else None
        if exponent is not None and bool((exponent == _SQRT_EXPONENT).all()):
            operator.opcodeIndex = len(file.model.operatorCodes)
            operator.inputs = operator.inputs[:1]
            operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None
    file.model.operatorCodes.append(root)
    utils = require("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
    return bytes(utils.convert_object_to_bytearray(file.model))


def quantise(content: bytes, images: Sequence[Batch]) -> bytes:
    """The same network in INT8. Its input and output stay float32.

    Weights are symmetric, with one scale per output channel. Activations have one scale and one zero point per tensor,
    from the smallest and the largest value that the images give. The L2 norm after the last layer with weights stays
    in float32: rounding a unit vector to eight bits would lose more accuracy than all layers before. In a transformer
    only layers are quantised. With its sums in eight bits the worst cosine of a ViT-Tiny is -0.21 instead of 0.9999,
    and it is slower.

    Args:
        content: The TFLite file that :func:`convert` returns.
        images: Calibration images, each float32 [1, 3, height, width] in 0..1.

    Raises:
        InvalidInput: the quantiser cannot quantise the network.
    """
    file = TfliteGraph(content, name="the converted network")
    [signature] = file.model.signatureDefs
    key, source = signature.signatureKey.decode(), signature.inputs[0].name.decode()
    with silenced():
        quantizer = require("ai_edge_quantizer.quantizer", extra=EXTRA)
        calibrator = require("ai_edge_quantizer.calibrator", extra=EXTRA)
        # The default is a moving average, which forgets the brightest images: it lowers the worst cosine from 0.998 to
        # 0.95.
        extremes = require("ai_edge_quantizer.utils.qsv_utils", extra=EXTRA).min_max_update
        recipe = _recipe(_tensors_after_last_layer(file), layers_only=_is_transformer(file))
        try:
            ranges = calibrator.Calibrator(content, num_threads=1, qsv_update_func=extremes)
            ranges.calibrate({key: [{source: image} for image in images]}, recipe)
            quantised = quantizer.Quantizer(content, recipe.get_quantization_recipe()).quantize(ranges.get_model_qsvs())
        except Exception as error:  # noqa: BLE001  the quantiser's exceptions share no narrower base
            raise InvalidInput(
                f"the network cannot be quantised for LiteRT ({one_line(error)})", hint="choose another backbone"
            ) from None
    return bytes(quantised.quantized_model)


def _recipe(exact: list[str], *, layers_only: bool) -> Any:
    """INT8 for all operators, or only for layers, except the input, the output, and what writes ``exact`` tensors."""
    manager = require("ai_edge_quantizer.recipe_manager", extra=EXTRA).RecipeManager()
    kinds = require("ai_edge_quantizer.qtyping", extra=EXTRA).TFLOperationName
    untouched = require("ai_edge_quantizer.algorithm_manager", extra=EXTRA).AlgorithmName.NO_QUANTIZE
    for kind in [kinds[name] for name in sorted(_LAYERS)] if layers_only else [kinds.ALL_SUPPORTED]:
        manager.add_static_config(".*", kind, _BITS, _BITS)
    for boundary in (kinds.INPUT, kinds.OUTPUT):
        manager.add_quantization_config(".*", boundary, algorithm_key=untouched)
    for name in exact:
        manager.add_quantization_config(f"^{re.escape(name)};$", kinds.ALL_SUPPORTED, algorithm_key=untouched)
    return manager


def _is_transformer(file: TfliteGraph) -> bool:
    """Whether a graph has attention, or norms that are computed from activations."""
    found = set(file.operators)
    return {"BATCH_MATMUL", "SOFTMAX"} <= found or {"SQUARED_DIFFERENCE", "RSQRT"} <= found


def _tensors_after_last_layer(file: TfliteGraph) -> list[str]:
    """The names of the tensors that operators after the last layer with weights write."""
    last = max((place for place, name in enumerate(file.operators) if name in _LAYERS), default=-1)
    return [file.tensor_name(index) for operator in file.graph.operators[last + 1 :] for index in operator.outputs]
