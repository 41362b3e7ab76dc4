"""Core ML: ML programs that are written on any machine and run on Apple devices. A zero weight takes one bit."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export._files import replace_file
from prunnet_export._imports import require
from prunnet_export._temporary import TemporaryFolder
from prunnet_export._text import one_line
from prunnet_export.precision import FP16, FP32, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime
from prunnet_export.runtimes._checks import LOAD_HINT, refuse_threads
from prunnet_export.runtimes._onnx_file import read_onnx, single_input
from prunnet_export.runtimes._onnx_fp16 import to_fp16
from prunnet_export.runtimes._session import Batch, Session, embedding_shape
from prunnet_export.runtimes._silence import silenced
from prunnet_export.runtimes.coreml._package import count_operations, program_weights, read_program, write_package
from prunnet_export.runtimes.coreml._places import Fp16Places
from prunnet_export.runtimes.onnxruntime import OnnxRuntime

TWIN = "model.onnx"

_INPUT, _OUTPUT = "images", "embeddings"


class CoreMl(Runtime):
    """Core ML on the processor, the GPU and the Neural Engine. It chooses among them. Models take one image at a time.

    Zeros of any pattern make the package smaller. A tensor with more than 2048 weights is stored as one bit per weight
    and the nonzero values, if that is smaller: if at least 1 of 16 weights is zero in fp16, 1 of 32 in fp32.
    """

    name: ClassVar[str] = "coreml"
    extra: ClassVar[str] = "coreml"
    distributions: ClassVar[Mapping[str, str]] = {"coremltools": "prunnet-export[coreml]"}
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, FP16)
    places_on: ClassVar[str] = "Core ML"
    takes_batches: ClassVar[bool] = False
    ignores: ClassVar[Mapping[str, str]] = {}

    def version(self) -> str:
        """The version of coremltools, which writes the package."""
        return str(self._engine().__version__)

    def obstacle(self) -> str | None:
        """Why this machine cannot run a package: it is not a Mac."""
        return None if sys.platform == "darwin" else "Core ML runs on Apple devices only"

    def twin(self, model: Model) -> Model | None:
        """The ONNX graph in the package's precision, on ONNX Runtime; None if it is not beside the package."""
        self.precision(model.precision)
        file = model.file.parent.with_name(TWIN)
        return Model(file, OnnxRuntime.name) if file.is_file() else None

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.mlpackage`` into ``folder``, for iOS 16 and macOS 13 or later.

        Input and output are float32 with batch 1, because the Neural Engine takes no open shapes. In fp16 all norms and
        the standardisation of the image stay fp32, because a sum of squares can exceed 65504. The twin ``model.onnx``
        computes the same operations in the same precision. It stays beside the package and is not deployed.
        """
        asked = self.precision(precision)
        module, shape = (inputs or CompileInputs()).module(), single_input(onnx_file)
        [twin] = OnnxRuntime().compile(onnx_file, folder, precision=FP32.name)
        if asked is FP16:
            replace_file(folder / twin, to_fp16(read_onnx(folder / twin)).SerializeToString())
        with TemporaryFolder("coreml") as made, silenced():
            try:
                model = self._convert(module, shape, asked)
            except Exception as error:  # noqa: BLE001  the exceptions of torch and the converter share no base
                raise InvalidInput(
                    f"the network cannot be converted to Core ML ({one_line(error)})", hint="choose another backbone"
                ) from None
            return write_package(model, Path(made), folder)

    def _convert(self, module: Any, shape: tuple[int, ...], precision: Precision) -> Any:
        engine = self._engine()
        torch = require("torch", extra="train")
        # coremltools is tested with traced modules. Its support for torch.export is in beta.
        with torch.no_grad():
            traced = torch.jit.trace(module, torch.zeros(shape), check_trace=False)
        half = engine.transform.FP16ComputePrecision(op_selector=Fp16Places())
        dense = engine.convert(
            traced,
            inputs=[engine.TensorType(name=_INPUT, shape=shape, dtype=np.float32)],
            outputs=[engine.TensorType(name=_OUTPUT, dtype=np.float32)],
            convert_to="mlprogram",
            compute_precision=half if precision is FP16 else engine.precision.FLOAT32,
            minimum_deployment_target=engine.target.iOS16,  # the first to read sparse weights
            skip_model_load=True,
        )
        # Weights are made sparse after the conversion, because the converter cannot fold norms into sparse weights.
        compression = require("coremltools.optimize.coreml", extra=self.extra)
        # A threshold of 0 removes only weights that are zero.
        bits = 8 * precision.weight_bytes
        sparse = compression.OpThresholdPrunerConfig(threshold=0.0, minimum_sparsity_percentile=1 / bits)
        return compression.prune_weights(dense, compression.OptimizationConfig(global_config=sparse))

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The weights in the package's files, by name. Sparse ones are made dense."""
        return program_weights(read_program(model.file))

    def open(self, model: Model, *, threads: int | None = None) -> CoreMlSession:
        """Load the package, which Core ML compiles for this device; raise Unreachable if this is not a Mac."""
        self.precision(model.precision)
        refuse_threads(threads, self.name)
        obstacle = self.obstacle()
        if obstacle is not None:
            raise Unreachable(obstacle, hint="copy the artifact to a Mac, or the package into an app")
        engine = self._engine()
        try:
            return CoreMlSession(model.file, engine.models.MLModel(str(model.file.parent)))
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidInput(
                f"{model.file.parent.name}: no package that Core ML can load ({one_line(error)})", hint=LOAD_HINT
            ) from None

    def placement(self, model: Model) -> dict[str, int]:
        """How many operations the program has. Core ML does not report which processor runs them."""
        self.precision(model.precision)
        return {self.places_on: count_operations(read_program(model.file))}

    def _engine(self) -> Any:
        with silenced():  # it warns about each version of a library that it was not tested with
            return require("coremltools", extra=self.extra)


class CoreMlSession(Session):
    """A package loaded by Core ML."""

    def __init__(self, model_file: Path, model: Any) -> None:
        description = model.get_spec().description
        inputs, outputs = (
            [value.type.multiArrayType for value in values if value.type.HasField("multiArrayType")]
            for values in (description.input, description.output)
        )
        float32 = all(array.dataType == array.FLOAT32 for array in [*inputs, *outputs])
        shapes = ([array.shape for array in arrays] for arrays in (inputs, outputs))
        super().__init__(embedding_shape(model_file.parent, *shapes, float32=float32))
        self._model = model

    def _infer(self, images: Batch) -> Batch:
        try:
            embeddings = self._model.predict({_INPUT: images})[_OUTPUT]
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidInput(f"Core ML failed on the batch: {one_line(error)}") from None
        return np.asarray(embeddings, np.float32)
