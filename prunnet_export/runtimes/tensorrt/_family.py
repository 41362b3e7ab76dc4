"""The common base of TensorRT and TensorRT-RTX: typed ONNX, engines, and the GPU that runs them."""

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
from prunnet_export._limits import MODEL_BYTES
from prunnet_export.precision import FP16, FP32, INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime
from prunnet_export.runtimes._checks import refuse_threads
from prunnet_export.runtimes._kinds import depthwise_with_silu
from prunnet_export.runtimes._mixed import quantise_mixed
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._onnx_fp16 import to_fp16
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.runtimes.tensorrt._build import Built
from prunnet_export.runtimes.tensorrt._cuda import Cuda, Gpu, has_gpu
from prunnet_export.runtimes.tensorrt._record import EngineRecord, read_record, write_record
from prunnet_export.runtimes.tensorrt._session import EngineSession, load_engine

ENGINE, TYPED = "model.engine", "model.onnx"
_NO_GPU = "no NVIDIA GPU here"


def ignored_patterns(name: str) -> dict[str, str]:
    """:attr:`Runtime.ignores` of an engine of this family."""
    return {
        "unstructured": f"{name} ignores unstructured zeros; use --pattern channel or 2:4",
        "block": f"{name} ignores zero blocks; use --pattern channel or 2:4",
        "n:m": f"{name} ignores n:m zeros other than 2:4; use --pattern 2:4",
    }


def used_distributions(extra: str) -> dict[str, str]:
    """:attr:`Runtime.distributions` of an engine of this family. ONNX Runtime quantises for it."""
    ours = f"prunnet-export[{extra}]"
    return {extra: ours, "cuda-bindings": ours, "onnxruntime": "prunnet-export[onnxruntime]"}


class TensorRtFamily(Runtime):
    """A runtime of NVIDIA that builds engines from ONNX and executes them in the types of the graph.

    The graph is deployed beside the engine, because weights can be read only from the graph, and because it computes
    the same on hosts without a GPU.

    Attributes:
        module: Name of the Python module.
    """

    module: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, FP16, INT8)
    places_on: ClassVar[str] = "GPU"

    def obstacle(self) -> str | None:
        """Why no engine can run here: there is no GPU, or a package is missing."""
        if not has_gpu():
            return _NO_GPU
        try:
            self._engine()
            self._cuda()
        except MissingExtra as error:
            return error.message
        return None

    def ignored(self, pattern: str) -> str | None:
        """A sentence that says that a pattern's zeros do not make the engine faster; None if they do.

        2:4 makes fp16 and int8 faster, on layers where the sparse kernel is the faster one.
        """
        return None if pattern in {"2:4", "channel+2:4"} else super().ignored(pattern)

    def twin(self, model: Model) -> Model:
        """The typed graph on ONNX Runtime's CPU. It is opened as fp32, because the graph states its types itself.

        In fp16 that engine rounds weights but computes activations in float32. So only the GPU shows an activation
        beyond 65504.
        """
        self.precision(model.precision)
        return Model(model.file.with_name(TYPED), OnnxRuntime.name)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The weights with two or more dimensions in the typed graph beside the engine, by name."""
        return OnnxRuntime().read_weights(self.twin(model))

    def _write_typed(self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None) -> None:
        """Write ``model.onnx`` with the types of the precision into ``folder``."""
        asked, model = self.precision(precision), read_onnx(onnx_file)
        if asked is FP16:
            model = to_fp16(model)
        elif asked is INT8:
            model = quantise_mixed(model, inputs, folder, symmetric=True)
            model = to_fp16(model, only=depthwise_with_silu(model))
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

    def open(self, model: Model, *, threads: int | None = None) -> EngineSession:
        """Load the engine on the first GPU. An engine for typed ONNX is built in memory first.

        Raises:
            InvalidInput: the file is not an engine or typed ONNX, or it was built for another GPU or version.
            Unreachable: there is no GPU.
        """
        self.precision(model.precision)
        refuse_threads(threads, self.name)
        content = read_bytes(model.file, at_most=MODEL_BYTES)
        engine, cuda = self._machine()
        if model.file.suffix == ".onnx":
            content = self._build_here(model.file, cuda.gpu()).content
        else:
            _check_record(read_record(model.file.parent), cuda.gpu())
        plan = load_engine(engine, content, name=model.file.name)
        context, compiled = self._context(engine, plan, content)
        return EngineSession(engine, model.file, plan=plan, context=context, cuda=cuda, compiled=compiled)

    def placement(self, model: Model) -> dict[str, int]:
        """How many layers the engine has. All of them run on the GPU.

        If no engine can be loaded, the nodes of the graph are counted. The builder refuses a graph with a node that the
        GPU cannot run.
        """
        self.precision(model.precision)
        if self.obstacle() is not None:
            graph = read_onnx(self.twin(model).file).graph
            return {self.places_on: sum(node.op_type != "Constant" for node in graph.node)}
        content = read_bytes(model.file, at_most=MODEL_BYTES)
        if model.file.suffix == ".onnx":
            content = self._build_here(model.file, self._machine()[1].gpu()).content
        plan = load_engine(self._engine(), content, name=model.file.name)
        return {self.places_on: plan.num_layers}

    @abstractmethod
    def _build_here(self, onnx_file: Path, gpu: Gpu) -> Built:
        """Build an engine for the GPU of this machine."""

    def _context(self, engine: Any, plan: Any, content: bytes) -> tuple[Any, Callable[[], None] | None]:
        """An execution context, and a function to call when all of its kernels are compiled."""
        del engine, content
        return plan.create_execution_context(), None

    def _engine(self) -> Any:
        return require(self.module, extra=self.extra)

    def _cuda(self) -> Cuda:
        return Cuda(extra=self.extra)

    def _machine(self) -> tuple[Any, Cuda]:
        """The engine and CUDA; raises Unreachable if there is no GPU, MissingExtra if a package is missing."""
        if not has_gpu():
            raise Unreachable(f"{self.name} cannot run here: {_NO_GPU}", hint="run it on the device itself")
        return self._engine(), self._cuda()


def _check_record(record: EngineRecord | None, gpu: Gpu) -> None:
    """Refuse an engine that was built on another kind of GPU. TensorRT itself would only warn."""
    if record is not None and record.device not in {None, gpu.name}:
        raise InvalidInput(
            f"the engine was built on {record.device}, and this is {gpu.name}",
            hint=f"build it here, from {TYPED} beside it",
        )
