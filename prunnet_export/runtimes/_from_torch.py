"""What converters that begin at the torch module need to know of the ONNX file beside it."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._session import one_line


def single_input(onnx_file: Path) -> tuple[int, int, int, int]:
    """The shape of one image as the network takes it: (1, 3, height, width).

    Raises:
        InvalidInput: the file is no ONNX model of an input with fixed sides.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", extra="host")
    try:
        [source] = onnx.load(onnx_file, load_external_data=False).graph.input
        _, channels, height, width = (size.dim_value for size in source.type.tensor_type.shape.dim)
    except Exception as error:  # noqa: BLE001  protobuf's and onnx's exceptions share no narrower base
        raise InvalidInput(
            f"{onnx_file.name}: not an ONNX model of an embedding network ({one_line(error)})", hint="export it again"
        ) from None
    if 0 in {channels, height, width}:
        raise InvalidInput(f"{onnx_file.name}: its sides are open", hint="export it with fixed sides")
    return 1, channels, height, width
