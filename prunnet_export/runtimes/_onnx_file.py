"""Reading exported subnetworks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._session import one_line

_FOREIGN = "it may be truncated, or written for another runtime; export it again"


def read_onnx(file: Path) -> Any:
    """The ONNX model of a file, external weights included.

    Raises:
        InvalidInput: the file is missing, or is none.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", extra="host")
    try:
        model = onnx.load(file)
    except FileNotFoundError:
        raise InvalidInput(f"{file}: no such model file", hint="check the path") from None
    except Exception as error:  # noqa: BLE001  protobuf's and onnx's exceptions share no narrower base
        raise InvalidInput(f"{file.name}: not an ONNX model ({one_line(error)})", hint=_FOREIGN) from None
    if not model.graph.node:
        raise InvalidInput(f"{file.name}: not an ONNX model (it has no nodes)", hint=_FOREIGN)
    return model
