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
from prunnet_export.runtimes._base import Aids, Model, Runtime
from prunnet_export.runtimes._calibration import calibration_images
from prunnet_export.runtimes._onnx_fp16 import to_fp16
from prunnet_export.runtimes._quantise_onnx import quantise_onnx
from prunnet_export.runtimes._session import no_threads
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.runtimes.tensorrt._build import Built
from prunnet_export.runtimes.tensorrt._cuda import Cuda, Gpu, gpu_answers
from prunnet_export.runtimes.tensorrt._record import EngineRecord, read_record, write_record
from prunnet_export.runtimes.tensorrt._session import EngineSession, load_engine

ENGINE, TYPED = "model.engine", "model.onnx"
_NO_GPU = "no NVIDIA GPU here"


def ignored_by(name: str) -> dict[str, str]:
    """The patterns whose zeros an engine of this family does not turn into speed, each with its sentence."""
    return {
        "unstructured": f"{name} ignores unstructured zeros; use --pattern channel or 2:4",
        "block": f"{name} ignores zero blocks; use --pattern channel or 2:4",
        "n:m": f"{name} ignores n:m zeros other than 2:4; use --pattern 2:4",
    }


class TensorRtFamily(Runtime):
    """An engine that NVIDIA builds from ONNX and that executes in the types of the graph.

    The graph that an engine was built from travels beside it: it holds the weights that can be read, and computes
    the same on hosts without a GPU.

    Attributes:
        module: What is imported.
    """

    module: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16", "int8")
    places_on: ClassVar[str] = "GPU"

    def obstacle(self) -> str | None:
        """Why no engine can run here: no GPU answers, or a package is missing."""
        if not gpu_answers():
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

    def twin(self, model_file: Path, *, precision: str) -> Model | None:
        """The typed graph on ONNX Runtime's CPU, opened as fp32: its types are in the graph.

        Of fp16 that engine rounds the weights and keeps activations in float32, so that an activation beyond 65504
        shows on the GPU alone.
        """
        self.check_precision(precision)
        return Model(model_file.with_name(TYPED), OnnxRuntime.name, "fp32")

    def read_weights(self, model_file: Path) -> dict[str, npt.NDArray[np.generic]]:
        """The weights of two or more dimensions in the typed graph beside the engine, by name."""
        return OnnxRuntime().read_weights(model_file.with_name(TYPED))

    def _write_typed(self, onnx_file: Path, folder: Path, *, precision: str, aids: Aids | None) -> None:
        """Write ``model.onnx``, typed in the precision, into ``folder``."""
        self.check_precision(precision)
        [name] = OnnxRuntime().compile(onnx_file, folder, precision="fp32")
        if precision == "fp32":
            return
        model = require("onnx", extra="host").load(folder / name)
        typed = (
            to_fp16(model) if precision == "fp16" else quantise_onnx(model, calibration_images(aids), symmetric=True)
        )
        replace_file(folder / TYPED, typed.SerializeToString())

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

    def open(self, model_file: Path, *, precision: str, threads: int | None = None) -> EngineSession:
        """The engine on the first GPU; typed ONNX is built in memory first.

        Raises:
            InvalidInput: the file is neither, or was built for another GPU or version.
            Unreachable: no GPU answers.
            MissingExtra: a package is missing.
        """
        self.check_precision(precision)
        no_threads(threads, self.name)
        content = read_bytes(model_file)
        engine, cuda = self._machine()
        if model_file.suffix == ".onnx":
            content = self._build_here(model_file, cuda.gpu()).content
        else:
            _check_record(read_record(model_file.parent), cuda.gpu())
        plan = load_engine(engine, content, name=model_file.name)
        context, compiled = self._context(engine, plan, content)
        return EngineSession(engine, model_file, plan=plan, context=context, cuda=cuda, compiled=compiled)

    def placement(self, model_file: Path, *, precision: str) -> dict[str, int]:
        """How many layers the engine has, which all run on the GPU.

        Where no engine can be loaded the nodes of the graph are counted: the builder has no other place for them, and
        refuses a graph with a node that it cannot place.
        """
        self.check_precision(precision)
        if self.obstacle() is not None:
            self.read_weights(model_file)  # it knows how to say that there is no graph
            graph = require("onnx", extra="host").load(model_file.with_name(TYPED)).graph
            return {self.places_on: sum(node.op_type != "Constant" for node in graph.node)}
        content = read_bytes(model_file)
        if model_file.suffix == ".onnx":
            content = self._build_here(model_file, self._machine()[1].gpu()).content
        plan = load_engine(self._engine(), content, name=model_file.name)
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
        """The engine and CUDA, where there is a GPU.

        Raises:
            Unreachable: there is none.
            MissingExtra: a package is missing.
        """
        if not gpu_answers():
            raise Unreachable(f"{self.name} cannot run here: {_NO_GPU}", hint="run it on the device itself")
        return self._engine(), self._cuda()


def _check_record(record: EngineRecord | None, gpu: Gpu) -> None:
    """Refuse an engine that was built on a GPU of another kind, which TensorRT would run with a warning."""
    if record is not None and record.device not in {None, gpu.name}:
        raise InvalidInput(
            f"the engine was built on {record.device}, and this is {gpu.name}",
            hint=f"build it here, from {TYPED} beside it",
        )
