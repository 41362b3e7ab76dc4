"""What TensorRT and TensorRT-RTX share: typed ONNX, engines, and the GPU that runs them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, MissingExtra, Unreachable
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export.precision import FP16, FP32, INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime
from prunnet_export.runtimes._calibration import calibration_images
from prunnet_export.runtimes._checks import refuse_threads
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._onnx_fp16 import to_fp16
from prunnet_export.runtimes._quantise_onnx import quantise_onnx
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.runtimes.tensorrt._build import Built
from prunnet_export.runtimes.tensorrt._cuda import Cuda, Gpu, has_gpu
from prunnet_export.runtimes.tensorrt._record import EngineRecord, read_record, write_record
from prunnet_export.runtimes.tensorrt._session import EngineSession, load_engine

ENGINE, TYPED = "model.engine", "model.onnx"
_NO_GPU = "no NVIDIA GPU here"


def ignored_patterns(name: str) -> dict[str, str]:
    """The patterns whose zeros an engine of this family does not turn into speed, each with its sentence."""
    return {
        "unstructured": f"{name} ignores unstructured zeros; use --pattern channel or 2:4",
        "block": f"{name} ignores zero blocks; use --pattern channel or 2:4",
        "n:m": f"{name} ignores n:m zeros other than 2:4; use --pattern 2:4",
    }


def used_distributions(extra: str) -> dict[str, str]:
    """What an engine of this family uses; ONNX Runtime quantises."""
    ours = f"prunnet-export[{extra}]"
    return {extra: ours, "cuda-bindings": ours, "onnxruntime": "prunnet-export[onnxruntime]"}


class TensorRtFamily(Runtime):
    """An engine that NVIDIA builds from ONNX and that executes in the types of the graph.

    The graph that an engine was built from travels beside it: it holds the weights that can be read, and computes
    the same on hosts without a GPU.

    Attributes:
        module: What is imported.
    """

    module: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, FP16, INT8)
    places_on: ClassVar[str] = "GPU"

    def obstacle(self) -> str | None:
        """Why no engine can run here: no GPU answers, or a package is missing."""
        if not has_gpu():
            return _NO_GPU
        try:
            self._engine()
            self._cuda()
        except MissingExtra as error:
            return error.message
        return None

    def ignored(self, pattern: str) -> str | None:
        """The sentence that says that the engine gains nothing from a pattern's zeros; None where it does.

        Of 2:4 it gains in fp16 and int8, on layers where the sparse kernel is the faster one.
        """
        return None if pattern in {"2:4", "channel+2:4"} else super().ignored(pattern)

    # -- compile, on the host ------------------------------------------------------------------------------

    def twin(self, model: Model) -> Model:
        """The typed graph on ONNX Runtime's CPU, opened as fp32: its types are in the graph.

        Of fp16 that engine rounds the weights and keeps activations in float32, so that an activation beyond 65504
        shows on the GPU alone.
        """
        self.precision(model.precision)
        return Model(model.file.with_name(TYPED), OnnxRuntime.name)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The weights of two or more dimensions in the typed graph beside the engine, by name."""
        return OnnxRuntime().read_weights(self.twin(model))

    def _write_typed(self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None) -> None:
        """Write ``model.onnx``, typed in the precision, into ``folder``."""
        asked, model = self.precision(precision), read_onnx(onnx_file)
        if asked is FP16:
            model = to_fp16(model)
        elif asked is INT8:
            model = quantise_onnx(model, calibration_images(inputs), symmetric=True)
        replace_file(folder / TYPED, model.SerializeToString())

    def _write_engine(
        self, built: Built, folder: Path, *, precision: str, capabilities: tuple[str, ...], gpu: Gpu | None = None
    ) -> None:
        """Write ``model.engine`` and its record into ``folder``."""
        replace_file(folder / ENGINE, built.content)
        record = EngineRecord(
            runtime=self.name,
            version=self.version(),
            precision=precision,
            compute_capabilities=capabilities,
            device=None if gpu is None else gpu.name,
            sparse_eligible=built.sparse.eligible,
            sparse_chosen=built.sparse.chosen,
        )
        write_record(record, folder)

    # -- drive, on the device ------------------------------------------------------------------------------

    def open(self, model: Model, *, threads: int | None = None) -> EngineSession:
        """The engine on the first GPU; typed ONNX is built in memory first.

        Raises:
            InvalidInput: the file is neither, or was built for another GPU or version.
            Unreachable: no GPU answers.
        """
        self.precision(model.precision)
        refuse_threads(threads, self.name)
        content = read_bytes(model.file)
        engine, cuda = self._machine()
        if model.file.suffix == ".onnx":
            content = self._build_here(model.file, cuda.gpu()).content
        else:
            _check_record(read_record(model.file.parent), cuda.gpu())
        plan = load_engine(engine, content, name=model.file.name)
        context, compiled = self._context(engine, plan, content)
        return EngineSession(engine, model.file, plan=plan, context=context, cuda=cuda, compiled=compiled)

    def placement(self, model: Model) -> dict[str, int]:
        """How many layers the engine has, which all run on the GPU.

        Where no engine can be loaded the nodes of the graph are counted: the builder has no other place for them, and
        refuses a graph with a node that it cannot place.
        """
        self.precision(model.precision)
        if self.obstacle() is not None:
            graph = read_onnx(self.twin(model).file).graph
            return {self.places_on: sum(node.op_type != "Constant" for node in graph.node)}
        content = read_bytes(model.file)
        if model.file.suffix == ".onnx":
            content = self._build_here(model.file, self._machine()[1].gpu()).content
        plan = load_engine(self._engine(), content, name=model.file.name)
        return {self.places_on: plan.num_layers}

    @abstractmethod
    def _build_here(self, onnx_file: Path, gpu: Gpu) -> Built:
        """An engine for the GPU that is here."""

    def _context(self, engine: Any, plan: Any, content: bytes) -> tuple[Any, Callable[[], None] | None]:
        """An execution context, and what to call when all of its kernels exist."""
        del engine, content
        return plan.create_execution_context(), None

    def _engine(self) -> Any:
        return require(self.module, extra=self.extra)

    def _cuda(self) -> Cuda:
        return Cuda(extra=self.extra)

    def _machine(self) -> tuple[Any, Cuda]:
        """The engine and CUDA; Unreachable where there is no GPU, MissingExtra where a package is missing."""
        if not has_gpu():
            raise Unreachable(f"{self.name} cannot run here: {_NO_GPU}", hint="run it on the device itself")
        return self._engine(), self._cuda()


def _check_record(record: EngineRecord | None, gpu: Gpu) -> None:
    """Refuse an engine that was built on a GPU of another kind, which TensorRT would run with a warning."""
    if record is not None and record.device not in {None, gpu.name}:
        raise InvalidInput(
            f"the engine was built on {record.device}, and this is {gpu.name}",
            hint=f"build it here, from {TYPED} beside it",
        )
