"""LiteRT (formerly TensorFlow Lite) on the CPU, with XNNPACK's dense kernels in fp32 and INT8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export._imports import installed_version, require
from prunnet_export._text import one_line
from prunnet_export.precision import FP32, INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime, dense_kernels
from prunnet_export.runtimes._calibration import calibration_images
from prunnet_export.runtimes._checks import LOAD_HINT, check_file, check_threads
from prunnet_export.runtimes._onnx_file import single_input
from prunnet_export.runtimes._session import Batch, Session, embedding_shape
from prunnet_export.runtimes._silence import silenced
from prunnet_export.runtimes.litert._export import convert, quantise
from prunnet_export.runtimes.litert._file import read_tflite

MODEL = "model.tflite"


class LiteRt(Runtime):
    """LiteRT's interpreter with XNNPACK. Models take one image at a time."""

    name: ClassVar[str] = "litert"
    extra: ClassVar[str] = "litert"
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, INT8)
    distributions: ClassVar[Mapping[str, str]] = {
        "ai-edge-litert": "prunnet-export[litert]",
        "litert-torch": "prunnet-export[litert-export]",
        "ai-edge-quantizer": "prunnet-export[litert-export]",
    }
    takes_batches: ClassVar[bool] = False
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("litert")

    def version(self) -> str:
        """The engine's version. This call loads the engine."""
        self._engine()
        return installed_version("ai-edge-litert") or "unknown"

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.tflite`` into ``folder``, with batch 1 and float32 input and output.

        It is converted from the torch module. Only the input shape is read from the ONNX file.
        """
        images = calibration_images(inputs) if self.precision(precision) is INT8 else []
        content = convert((inputs or CompileInputs()).module(), single_input(onnx_file))
        if images:
            content = quantise(content, images)
        replace_file(folder / MODEL, content)
        return (MODEL,)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The constants with two or more dimensions by name, without zero points, convolutions as [out, in, h, w]."""
        return read_tflite(model.file).weights()

    def open(self, model: Model, *, threads: int | None = None) -> LiteRtSession:
        """Load the model. It executes in the types that the file states."""
        self.precision(model.precision)
        check_threads(threads)
        engine = self._engine()
        check_file(model.file)
        with silenced():
            try:
                interpreter = engine.Interpreter(str(model.file), num_threads=threads)
                interpreter.allocate_tensors()
            except (RuntimeError, ValueError) as error:
                raise InvalidInput(
                    f"{model.file.name}: no model that litert can load ({one_line(error)})", hint=LOAD_HINT
                ) from None
        return LiteRtSession(model.file, interpreter)

    def placement(self, model: Model) -> dict[str, int]:
        """How many operators the graph has. All of them run on the CPU."""
        self.precision(model.precision)
        return {self.places_on: len(read_tflite(model.file).operators)}

    def _engine(self) -> Any:
        return require("ai_edge_litert.interpreter", extra=self.extra)


class LiteRtSession(Session):
    """A model loaded by LiteRT, with allocated tensors."""

    def __init__(self, model_file: Path, interpreter: Any) -> None:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        float32 = all(tensor["dtype"] is np.float32 for tensor in [*inputs, *outputs])
        shapes = ([tensor["shape_signature"] for tensor in tensors] for tensors in (inputs, outputs))
        super().__init__(embedding_shape(model_file, *shapes, float32=float32))
        self._interpreter = interpreter
        self._input: int = inputs[0]["index"]
        self._output: int = outputs[0]["index"]

    def _infer(self, images: Batch) -> Batch:
        try:
            self._interpreter.set_tensor(self._input, images)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise InvalidInput(f"litert failed on the batch: {one_line(error)}") from None
        embeddings: Batch = self._interpreter.get_tensor(self._output)
        return embeddings
