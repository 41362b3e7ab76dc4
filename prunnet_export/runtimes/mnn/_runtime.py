"""MNN on the CPU. Its convolutions are faster with zeros in the weights, most of all in blocks of four outputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime
from prunnet_export.runtimes._checks import LOAD_HINT, check_file, engine_threads
from prunnet_export.runtimes._session import Batch, Session, embedding_shape
from prunnet_export.runtimes._silence import captured
from prunnet_export.runtimes.mnn._choice import choose_fastest
from prunnet_export.runtimes.mnn._convert import Converter
from prunnet_export.runtimes.mnn._file import constants, layers

# MNN's setting by precision. Any other value than "high" lets it take a lower precision if the processor has one.
_EXECUTES = {"fp32": "high"}

_BACKEND, _RESIZED = 2, 3  # arguments of Interpreter.getSessionInfo
_CPU = {0, 13}  # its answers for the CPU, without and with kernels for the CPU's extensions

_WARM_UP, _TIMED = 3, 40
_OWN_THREADS = 4  # what MNN takes if it is given no number, however few cores there are


class Mnn(Runtime):
    """MNN's CPU backend.

    Sparse kernels use unstructured zeros and blocks of zeros. Compiling decides which layers run sparse, by measurement
    on the device. Without a device, MNN's own rule decides by the share of zeros, and a sparse layer may be slower.
    """

    name: ClassVar[str] = "mnn"
    extra: ClassVar[str] = "mnn"
    distributions: ClassVar[Mapping[str, str]] = {"mnn": "prunnet-export[mnn]", "flatbuffers": "prunnet-export[mnn]"}
    ignores: ClassVar[Mapping[str, str]] = {
        "n:m": "mnn ignores n:m zeros: latency stays at the dense network's; use --pattern block or channel"
    }

    def version(self) -> str:
        """The engine's version. This call loads the engine."""
        return str(self._engine().version())

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.mnn`` into ``folder``."""
        self.precision(precision)
        self._engine()
        content = choose_fastest(Converter(onnx_file), None if inputs is None else inputs.layer_times)
        (folder / "model.mnn").write_bytes(content)
        return ("model.mnn",)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The weights of layers (linear layers as 1x1 convolutions) and other float constants, by operator."""
        _interpreter(self._engine(), model.file)
        content = read_bytes(model.file, at_most=MODEL_BYTES)
        return {**{layer.name: layer.weights for layer in layers(content)}, **dict(constants(content))}

    def open(self, model: Model, *, threads: int | None = None) -> MnnSession:
        """Load the model."""
        self.precision(model.precision)
        return MnnSession(self._engine(), model, threads=engine_threads(threads, default=_OWN_THREADS))

    def layer_times(self, model: Model, *, threads: int | None = None, batch_size: int = 1) -> dict[str, float]:
        """Milliseconds of each operator by name, the lowest of 40 inferences of a batch."""
        session = self.open(model, threads=threads)
        best: dict[str, float] = {}
        for index in range(_WARM_UP + _TIMED):
            times = session.time_operators(batch_size)
            if index >= _WARM_UP:
                best = {name: min(ms, best.get(name, ms)) for name, ms in times.items()}
        return best

    def placement(self, model: Model) -> dict[str, int]:
        """How many operators ran on each processor, from one inference."""
        session = self.open(model, threads=1)
        return {session.device: len(session.time_operators())}

    def _engine(self) -> Any:
        with captured(1):  # it prints a greeting
            return require("MNN", extra=self.extra)


class MnnSession(Session):
    """A model loaded by MNN. ``device`` names the processor that runs its operators, ``CPU`` if it is the CPU.

    A file does not say whether its batch is open. A model that takes one image is resized to the size of each batch.
    """

    def __init__(self, engine: Any, model: Model, *, threads: int | None) -> None:
        self._engine = engine
        self._network = _interpreter(engine, model.file)
        config = {"backend": "CPU", "precision": _EXECUTES[model.precision]}
        with captured(1):  # it prints the precision
            self._session = self._network.createSession(config if threads is None else {**config, "numThread": threads})
        source = self._network.getSessionInputAll(self._session)
        result = self._network.getSessionOutputAll(self._session)
        float32 = all(one.getDataType() == engine.Halide_Type_Float for one in (*source.values(), *result.values()))
        super().__init__(embedding_shape(model.file, _sizes(source), _sizes(result), float32=float32))
        if not self._is_ready():
            raise InvalidInput(f"{model.file.name}: mnn cannot prepare it", hint=LOAD_HINT)
        backend = self._network.getSessionInfo(self._session, _BACKEND)
        self.device = "CPU" if backend in _CPU else f"backend {backend}"
        [self._input], [self._output] = source.values(), result.values()
        self._count = self._input.getShape()[0]

    def time_operators(self, batch_size: int = 1) -> dict[str, float]:
        """Milliseconds of each operator by name, in one inference of random images."""
        shape = self.shape
        self._fill(
            np.random.default_rng(0).random((shape.batch or batch_size, 3, shape.height, shape.width), np.float32)
        )
        times: dict[str, float] = {}
        start = 0

        def begin(_tensors: object, _operator: object) -> bool:
            nonlocal start
            start = time.perf_counter_ns()
            return True

        def end(_tensors: object, operator: Any) -> bool:
            elapsed = (time.perf_counter_ns() - start) / 1e6
            name = operator.getName()
            times[name] = times.get(name, 0.0) + elapsed
            return True

        self._check(self._network.runSessionWithCallBackInfo(self._session, begin, end))
        return times

    def _infer(self, images: Batch) -> Batch:
        self._fill(images)
        self._check(self._network.runSession(self._session))
        embeddings = self._host_tensor(np.empty((len(images), self.shape.dim), np.float32))
        self._output.copyToHostTensor(embeddings)
        return np.array(embeddings.getNumpyData())

    def _fill(self, images: Batch) -> None:
        if len(images) != self._count:
            with captured(1):
                self._network.resizeTensor(self._input, images.shape)
                self._network.resizeSession(self._session)
            self._count = len(images)
            if not self._is_ready() or self._output.getShape() != (len(images), self.shape.dim):
                raise InvalidInput(
                    f"mnn cannot run {len(images)} images at a time", hint="export it with an open batch axis"
                )
        self._input.copyFrom(self._host_tensor(images))

    def _host_tensor(self, values: Batch) -> Any:
        engine = self._engine
        return engine.Tensor(values.shape, engine.Halide_Type_Float, values, engine.Tensor_DimensionType_Caffe)

    def _is_ready(self) -> bool:
        return not self._network.getSessionInfo(self._session, _RESIZED)

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise InvalidInput(f"mnn failed on the batch: error {code}")


def _interpreter(engine: Any, model_file: Path) -> Any:
    """Load a file with the engine, which verifies it."""
    check_file(model_file)
    with captured(1) as printed:
        try:
            return engine.Interpreter(str(model_file))
        except Exception:  # noqa: BLE001  the engine raises a bare Exception
            lines = printed().splitlines()
    reason = lines[-1].replace(str(model_file), "it") if lines else "it does not say why"
    raise InvalidInput(f"{model_file.name}: no model that mnn can load ({reason})", hint=LOAD_HINT)


def _sizes(tensors: Mapping[str, Any]) -> list[list[int | None]]:
    shapes = [tensor.getShape() for tensor in tensors.values()]
    return [[None if size < 1 or (axis == 0 and size == 1) else size for axis, size in enumerate(s)] for s in shapes]
