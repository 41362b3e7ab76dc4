"""ONNX Runtime on files of its own format, ``.ort``. Its small builds for devices load only that format."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export import InvalidInput, MissingExtra
from prunnet_export.precision import FP32, Precision
from prunnet_export.runtimes import Batch, CompileInputs, Model, Runtime, Session, Shape, dense_kernels, engine_threads

_MATRIX_RANK = 2
_FATAL_ONLY = 4  # other errors are raised as exceptions

# Weights are INT8. The engine quantises activations while the network runs. On a cut ResNet, the worst cosine of 64
# images was 0.995.
INT8_DYNAMIC = Precision("int8-dynamic", weight_bytes=1, parity=0.98)


class OrtFile(Runtime):
    """ONNX Runtime's CPU execution provider, on ``.ort`` files."""

    name: ClassVar[str] = "ort-file"
    extra: ClassVar[str] = "onnxruntime"
    distributions: ClassVar[Mapping[str, str]] = {
        "onnxruntime": "prunnet-export[onnxruntime]",
        "flatbuffers": "our-kiosk",
        "our-kiosk": "our-kiosk",  # host and boxes must have the same version
    }
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("ort-file")
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, INT8_DYNAMIC)

    def version(self) -> str:
        """The engine's version. This call loads the engine."""
        return str(_engine().__version__)

    # -- methods that are called on the host ---------------------------------------------------------------

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.ort`` into ``folder``: the optimised graph and its weights.

        The optimisation NchwcTransformer is off. It pads weights and reorders them for the vectors of this processor,
        so the file would suit only such processors.
        """
        del inputs
        asked, engine = self.precision(precision), _engine()
        options = _options(engine, threads=1)
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.optimized_model_filepath = str(folder / "model.ort")
        with TemporaryDirectory() as temporary:
            source = _quantised(onnx_file, Path(temporary)) if asked is INT8_DYNAMIC else onnx_file
            _load(engine, source, options, disabled_optimizers=["NchwcTransformer"])
        return ("model.ort",)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The float32 and int8 initializers with two or more dimensions, by name. The zero point of int8 ones is 0."""
        self.open(model)  # the engine checks the offsets in the file, and the classes below do not
        import onnxruntime.tools.ort_format_model  # noqa: F401  it makes the next two modules importable
        from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession
        from ort_flatbuffers_py.fbs.TensorDataType import TensorDataType

        graph = InferenceSession.GetRootAs(model.file.read_bytes()).Model().Graph()
        types = {TensorDataType.FLOAT: np.float32, TensorDataType.INT8: np.int8}
        tensors = [graph.Initializers(index) for index in range(graph.InitializersLength())]
        weights: dict[str, npt.NDArray[np.generic]] = {}
        for one in tensors:
            if one.DimsLength() >= _MATRIX_RANK and one.DataType() in types:
                values = one.RawDataAsNumpy().view(types[one.DataType()])
                weights[one.Name().decode(errors="replace")] = values.reshape(one.DimsAsNumpy())
        return weights

    # -- methods that are called on the device -------------------------------------------------------------

    def open(self, model: Model, *, threads: int | None = None) -> OrtSession:
        """Load the model."""
        self.precision(model.precision)
        engine = _engine()
        return OrtSession(model.file, _load(engine, model.file, _ort_only(_options(engine, engine_threads(threads)))))

    def placement(self, model: Model) -> dict[str, int]:
        """How many nodes ran on each processor, from the profile of one inference."""
        self.precision(model.precision)
        engine = _engine()
        with TemporaryDirectory() as folder:
            options = _ort_only(_options(engine, threads=1))
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            loaded = _load(engine, model.file, options)
            session = OrtSession(model.file, loaded)
            shape = session.shape
            session.run(np.zeros((shape.batch or 1, 3, shape.height, shape.width), np.float32))
            events = json.loads(Path(loaded.end_profiling()).read_text(encoding="utf-8"))
        nodes = {(event["name"], event["args"]["provider"]) for event in events if "provider" in event.get("args", {})}
        return dict(Counter(provider.removesuffix("ExecutionProvider") for _, provider in nodes))


class OrtSession(Session):
    """A model loaded by ONNX Runtime.

    Raises:
        InvalidInput: the model does not map one batch of images to one batch of embeddings.
    """

    def __init__(self, model_file: Path, session: Any) -> None:
        try:
            [images], [embeddings] = session.get_inputs(), session.get_outputs()
            (batch, _, height, width), (_, dim) = images.shape, embeddings.shape
        except ValueError:
            raise InvalidInput(f"{model_file.name}: not an embedding network", hint="export it again") from None
        super().__init__(Shape(batch if isinstance(batch, int) else None, height, width, dim))
        self._session = session
        self._input: str = images.name

    def _infer(self, images: Batch) -> Batch:
        with _engine_errors("the batch"):
            embeddings: Batch = self._session.run(None, {self._input: images})[0]
        return embeddings


def _engine() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingExtra("onnxruntime", OrtFile.extra) from None
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    return onnxruntime


def _options(engine: Any, threads: int | None) -> Any:
    options = engine.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or 0  # 0 leaves the number to the engine
    return options


def _ort_only(options: Any) -> Any:
    options.add_session_config_entry("session.load_model_format", "ORT")
    return options


def _load(engine: Any, file: Path, options: Any, **settings: Any) -> Any:
    with _engine_errors(file.name):
        # A fallback would only try the same again, and print that.
        return engine.InferenceSession(str(file), options, ["CPUExecutionProvider"], enable_fallback=0, **settings)


def _quantised(onnx_file: Path, folder: Path) -> Path:
    """The network with INT8 weights, and with convolutions and matrix products on integers."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ModuleNotFoundError:
        raise MissingExtra("onnx", "host") from None
    file = folder / "quantised.onnx"
    with _engine_errors(onnx_file.name):
        quantize_dynamic(onnx_file, file, op_types_to_quantize=["Conv", "Gemm", "MatMul"], weight_type=QuantType.QInt8)
    return file


@contextmanager
def _engine_errors(subject: str) -> Iterator[None]:
    """Turn the engine's exceptions into InvalidInput, which the tool prints in one line."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  they share no narrower base
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"onnxruntime refused {subject} ({reason})", hint="export it again") from None
