"""The files of an ONNX model: the model itself, and its weights if they are in files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, sha256
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES
from prunnet_export._text import one_line


def file_hashes(file: Path) -> dict[str, str]:
    """The SHA-256 of a model and of its files of weights, by their paths relative to its folder.

    Raises:
        InvalidInput: it is not an ONNX model, or a file of weights is missing or outside of its folder.
    """
    onnx = require("onnx", extra="host")
    try:
        model = onnx.load_model_from_string(read_bytes(file, at_most=MODEL_BYTES))
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001  protobuf's and onnx's exceptions share no narrower base
        raise InvalidInput(
            f"{file.name}: not an ONNX model ({one_line(error)})", hint="it may be truncated; export or copy it again"
        ) from None
    if not model.graph.node:
        raise InvalidInput(f"{file.name}: not an ONNX model (it has no nodes)", hint="export it again")
    hashes = {file.name: sha256(file)}
    for place in sorted(set(_places(model))):
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise InvalidInput(
                f"{file.name}: its weights are outside of its folder, in {place}", hint="export it into one folder"
            )
        if not (file.parent / place).is_file():
            raise InvalidInput(f"{file.name}: its file of weights {place} is missing", hint=f"copy {place} beside it")
        hashes[place] = sha256(file.parent / place)
    return hashes


def _places(model: Any) -> Iterator[str]:
    """The paths of the files of weights, as the model has them."""
    for tensor in _tensors(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _tensors(graph: Any) -> Iterator[Any]:
    """All stored tensors of a graph, and of the graphs in its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for inner in [attribute.g, *attribute.graphs]:
                yield from _tensors(inner)
