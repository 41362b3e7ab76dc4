"""Reading the ONNX file of an exported subnetwork."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES
from prunnet_export._text import one_line
from prunnet_export.runtimes._checks import LOAD_HINT, check_file


def read_onnx(file: Path) -> Any:
    """The ONNX model in a file, with external weights; raises InvalidInput if the file is missing or not ONNX."""
    onnx = require("onnx", extra="host")
    check_file(file)
    try:
        model = onnx.load_model_from_string(read_bytes(file, at_most=MODEL_BYTES))
        onnx.load_external_data_for_model(model, str(file.parent))
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001  protobuf's and onnx's exceptions share no narrower base
        raise InvalidInput(f"{file.name}: not an ONNX model ({one_line(error)})", hint=LOAD_HINT) from None
    if not model.graph.node:
        raise InvalidInput(f"{file.name}: not an ONNX model (it has no nodes)", hint=LOAD_HINT)
    return model


def single_input(onnx_file: Path) -> tuple[int, int, int, int]:
    """The input shape for one image, (1, 3, height, width); raises InvalidInput if height or width is not fixed."""
    try:
        [source] = read_onnx(onnx_file).graph.input
        _, channels, height, width = (size.dim_value for size in source.type.tensor_type.shape.dim)
    except ValueError:
        raise InvalidInput(
            f"{onnx_file.name}: not an ONNX model of an embedding network", hint="export it again"
        ) from None
    if 0 in {channels, height, width}:
        raise InvalidInput(
            f"{onnx_file.name}: its input size is not fixed", hint="export it with a fixed height and width"
        )
    return 1, channels, height, width
