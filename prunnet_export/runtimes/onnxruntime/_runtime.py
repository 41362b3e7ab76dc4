"""ONNX Runtime on the CPU. Its fp32 and INT8 kernels are dense, so zeros do not make it faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import LIST_BYTES
from prunnet_export._temporary import TemporaryFolder
from prunnet_export._text import one_line
from prunnet_export.precision import FP32, INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime, dense_kernels
from prunnet_export.runtimes._checks import LOAD_HINT, MATRIX_RANK, check_file, engine_threads
from prunnet_export.runtimes._mixed import quantise_mixed
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._session import Batch, Session, embedding_shape

_PROVIDERS = ("CPUExecutionProvider",)
_FATAL_ONLY = 4
_WITH_ZERO_POINT = 3  # inputs of DequantizeLinear


class OnnxRuntime(Runtime):
    """ONNX Runtime's CPU execution provider."""

    name: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "onnxruntime"
    distributions: ClassVar[Mapping[str, str]] = {"onnxruntime": "prunnet-export[onnxruntime]"}
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("onnxruntime")
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, INT8)

    def version(self) -> str:
        """The engine's version. This call loads the engine."""
        return str(self._engine().__version__)

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.onnx``, with its weights inside, into ``folder``.

        INT8 files are meant for processors with VNNI. Others run them slower, and sums of products may saturate.
        """
        quantised = self.precision(precision) is INT8
        model = read_onnx(onnx_file)
        if quantised:
            model = quantise_mixed(model, inputs, folder, symmetric=False)
        require("onnx", extra="host").save(model, folder / "model.onnx")
        return ("model.onnx",)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The initializers with two or more dimensions, by name. Zero points are subtracted from quantised ones."""
        return _weights(read_onnx(model.file))

    def open(self, model: Model, *, threads: int | None = None) -> OnnxSession:
        """Load the model."""
        self.precision(model.precision)
        engine = self._engine()
        options = self._options(engine, engine_threads(threads))
        return OnnxSession(model.file, _load(engine, model.file, options))

    def placement(self, model: Model) -> dict[str, int]:
        """How many nodes ran on each processor, from the profile of one inference."""
        self.precision(model.precision)
        engine = self._engine()
        with TemporaryFolder("profile") as folder:
            options = self._options(engine, 1)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            loaded = _load(engine, model.file, options)
            session = OnnxSession(model.file, loaded)
            shape = session.shape
            session.run(np.zeros((shape.batch or 1, 3, shape.height, shape.width), np.float32))
            events = parse_json(read_bytes(Path(loaded.end_profiling()), at_most=LIST_BYTES))
        nodes = {(event["name"], event["args"]["provider"]) for event in events if "provider" in event.get("args", {})}
        return dict(Counter(provider.removesuffix("ExecutionProvider") for _, provider in nodes))

    def _engine(self) -> Any:
        engine = require("onnxruntime", extra=self.extra)
        engine.set_default_logger_severity(_FATAL_ONLY)  # other errors are raised as exceptions
        return engine

    @staticmethod
    def _options(engine: Any, threads: int | None) -> Any:
        options = engine.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.intra_op_num_threads = threads or 0
        return options


class OnnxSession(Session):
    """A model loaded by ONNX Runtime."""

    def __init__(self, model_file: Path, session: Any) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        float32 = all(value.type == "tensor(float)" for value in [*inputs, *outputs])
        shapes = ([value.shape for value in values] for values in (inputs, outputs))
        super().__init__(embedding_shape(model_file, *shapes, float32=float32))
        self._session = session
        self._input: str = inputs[0].name

    def _infer(self, images: Batch) -> Batch:
        try:
            embeddings: Batch = self._session.run(None, {self._input: images})[0]
        except Exception as error:  # noqa: BLE001  the engine's exceptions share no narrower base
            raise InvalidInput(f"onnxruntime failed on the batch: {one_line(error)}") from None
        return embeddings


def _load(engine: Any, model_file: Path, options: Any) -> Any:
    check_file(model_file)
    try:
        return engine.InferenceSession(str(model_file), options, providers=list(_PROVIDERS), enable_fallback=0)
    except Exception as error:  # noqa: BLE001  the engine's exceptions share no narrower base
        reason = one_line(error).replace(f"Load model from {model_file} failed:", "")
        raise InvalidInput(
            f"{model_file.name}: no model that onnxruntime can load ({reason})", hint=LOAD_HINT
        ) from None


def _weights(model: Any) -> dict[str, npt.NDArray[np.generic]]:
    """The initializers with two or more dimensions. Zero points are subtracted from those that are dequantised."""
    to_array = require("onnx.numpy_helper", extra="host").to_array
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {name: to_array(tensor) for name, tensor in tensors.items() if len(tensor.dims) >= MATRIX_RANK}
    for node in model.graph.node:
        # Zero points per channel are always 0, because ONNX Runtime's kernels take no others.
        if node.op_type == "DequantizeLinear" and node.input[0] in weights and len(node.input) == _WITH_ZERO_POINT:
            zero_point = to_array(tensors[node.input[2]])
            if zero_point.any():
                weights[node.input[0]] = to_array(tensors[node.input[0]]).astype(np.int16) - zero_point.item()
    return weights
