"""Export of a cut network to an ONNX file with normalisation, inferred shapes and an open batch axis."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export._imports import require
from prunnet_export.network import Normalised

OPSET = 18  # the newest that TensorRT 10, OpenVINO 2024 and ONNX Runtime 1.17 all read


def export_onnx(embedder: nn.Module, file: Path, *, size: tuple[int, int]) -> None:
    """Write an embedder as ONNX: images float32 [batch, 3, h, w] in 0..1 to unit vectors [batch, dim].

    BatchNorm is folded, the batch axis is open, shapes are inferred, and the file says nothing about this machine.

    Args:
        embedder: A cut network with its own BatchNorm statistics.
        file: The file to write.
        size: Height and width of the input image, pixels.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
        InvalidInput: the network's weights are not finite, or it cannot be traced.
        StorageError: the file cannot be written.
    """
    onnx = require("onnx", extra="host")
    require("onnxscript", extra="host")
    for name, tensor in embedder.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InvalidInput(
                f"weight {name!r} holds NaN or infinity", hint="the training diverged; use an earlier run"
            )
    with _quiet():
        try:
            program = torch.onnx.export(
                Normalised(embedder).eval(),
                (torch.zeros(2, 3, *size),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["images"],
                output_names=["embeddings"],
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise InvalidInput(
                f"the network cannot be traced to ONNX: {reason}", hint="a forward pass must not depend on the data"
            ) from None
    assert program is not None  # noqa: S101  # it is None only without dynamo=True
    model = program.model_proto
    model.producer_name = "prunnet-export"
    _strip(model)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    replace_file(file, model.SerializeToString())


def _strip(part: Any) -> None:
    """Remove what identifies the exporting machine, source paths and stack traces, from a model and all its parts."""
    for field, value in part.ListFields():
        if field.name in {"metadata_props", "doc_string"}:
            part.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            for below in [value] if hasattr(value, "ListFields") else value:  # one message, or several
                _strip(below)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's notes and the warnings of its dependencies."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
