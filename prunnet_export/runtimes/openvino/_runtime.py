"""OpenVINO on the CPU. It is set to execute in no lower precision than asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, UnsupportedPrecision
from prunnet_export._imports import require
from prunnet_export._text import one_line
from prunnet_export.precision import BF16, FP16, FP32, INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime, dense_kernels
from prunnet_export.runtimes._calibration import calibration_images
from prunnet_export.runtimes._checks import LOAD_HINT, MATRIX_RANK, check_file, engine_threads, refuse_threads
from prunnet_export.runtimes._kinds import is_transformer
from prunnet_export.runtimes._mixed import COMPARED, choose_float_layers, worst_cosine
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._quantise_onnx import OnnxQuantiser
from prunnet_export.runtimes._session import Batch, Session, embedding_shape
from prunnet_export.runtimes.openvino._quantise import quantise_openvino
from prunnet_export.runtimes.openvino._telemetry import no_telemetry

_NO_WORK = frozenset({"Parameter", "Result", "Constant", "Input", "Output", "Const"})

_WITHOUT_BIAS = "/WithoutBiases"  # OpenVINO's name of a layer whose bias it has split off

IN_CONVOLUTIONS = "unstructured zeros in convolutions"


class OpenVino(Runtime):
    """OpenVINO's CPU plugin with one stream, which gives single requests the lowest latency."""

    name: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    distributions: ClassVar[Mapping[str, str]] = {
        "openvino": "prunnet-export[openvino]",
        "nncf": "prunnet-export[openvino-int8]",
    }
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("openvino", unstructured=IN_CONVOLUTIONS)
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, BF16, INT8)
    # The precision hint by precision. Without a hint, the engine takes bf16 if the processor has it. In INT8 the hint
    # is for layers that are not quantised.
    executes: ClassVar[Mapping[str, str]] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

    def version(self) -> str:
        """The engine's version, without its build suffix. This call loads the engine."""
        return str(engine().__version__).split("-", 1)[0]

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.xml`` and ``model.bin`` into ``folder``, with weights in fp32, fp16 or int8.

        The file for bf16 is the one for fp32. The engine rounds the weights when it loads them.
        """
        asked = self.precision(precision)
        graph = _read(onnx_file)
        if asked is INT8:
            graph = self._quantised(onnx_file, folder, inputs)
        engine().save_model(graph, folder / "model.xml", compress_to_fp16=asked is FP16)
        return ("model.xml", "model.bin")

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The floating-point and 8-bit constants with two or more dimensions, by name.

        Quantised weights have no zero point. Their scales are left out. So are vectors whose other axes have size 1:
        biases, bounds of activations, mean and standard deviation of the images.
        """
        weights: dict[str, npt.NDArray[np.generic]] = {}
        for node in _read(model.file).get_ops():
            sizes = node.get_output_shape(0) if node.get_type_name() == "Constant" else ()
            if len(sizes) < MATRIX_RANK:
                continue
            kind = node.get_element_type()
            vector = max(sizes) == math.prod(sizes)
            # Wider integers are shapes and indices.
            if kind.get_size() == 1 or (kind.is_real() and not vector and not _is_scale(node)):
                weights[node.get_friendly_name()] = np.array(node.data)
        return weights

    def open(self, model: Model, *, threads: int | None = None) -> OpenVinoSession:
        """Compile the model for this processor; raise UnsupportedPrecision if it does not have the precision."""
        self.precision(model.precision)
        return OpenVinoSession(model.file, self._compile(model, threads))

    def placement(self, model: Model) -> dict[str, int]:
        """How many nodes of the executed graph are on each processor."""
        self.precision(model.precision)
        compiled = self._compile(model, None)
        device = "+".join(compiled.get_property("EXECUTION_DEVICES"))
        kinds = [str(node.get_rt_info()["layerType"].value) for node in compiled.get_runtime_model().get_ops()]
        return dict(Counter(device for kind in kinds if kind not in _NO_WORK))

    def _quantised(self, onnx_file: Path, folder: Path, inputs: CompileInputs | None) -> Any:
        """The network in INT8, with as few layers in float as needed. ONNX Runtime ranks the layers."""
        images = calibration_images(inputs)
        transformer = is_transformer(read_onnx(onnx_file))

        def quantise(nodes: Sequence[str], used: Sequence[Batch]) -> Any:
            # Around layers in float, other operators would still be quantised.
            layers_only = transformer or bool(nodes)
            names = [name + suffix for name in nodes for suffix in ("", _WITHOUT_BIAS)]
            return quantise_openvino(_read(onnx_file), used, layers_only=layers_only, keep_float=names)

        model = quantise([], images)
        if inputs is None or not inputs.accurate:
            return model
        compared = images[:COMPARED]
        exact = _embed(_read(onnx_file), compared)

        def worst(nodes: Sequence[str]) -> float:
            # The first model exists already. For the others fewer images are enough to compare them.
            return worst_cosine(exact, _embed(quantise(nodes, compared) if nodes else model, compared))

        nodes, record = choose_float_layers(
            lambda: OnnxQuantiser(read_onnx(onnx_file), compared, symmetric=False), compared, worst
        )
        record.write(folder)
        return quantise(nodes, images) if nodes else model

    def _compile(self, model: Model, threads: int | None) -> Any:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.executes[model.precision],
        }
        graph = _read(model.file)
        if self.places_on != "CPU":
            refuse_threads(threads, self.name)
        elif (threads := engine_threads(threads)) is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        if model.precision == "bf16" and "BF16" not in core().get_property(self.places_on, "OPTIMIZATION_CAPABILITIES"):
            raise UnsupportedPrecision("this processor has no bf16 arithmetic", hint="use fp32 or int8")
        try:
            return core().compile_model(graph, self.places_on, options)
        except RuntimeError as error:
            raise InvalidInput(
                f"{model.file.name}: openvino cannot compile it ({one_line(error)})", hint=LOAD_HINT
            ) from None


class OpenVinoSession(Session):
    """A model compiled by OpenVINO."""

    def __init__(self, model_file: Path, compiled: Any) -> None:
        float32 = all(port.get_element_type().to_string() == "f32" for port in [*compiled.inputs, *compiled.outputs])
        shapes = ([_sizes(port.get_partial_shape()) for port in ports] for ports in (compiled.inputs, compiled.outputs))
        super().__init__(embedding_shape(model_file, *shapes, float32=float32))
        self._request = compiled.create_infer_request()

    def _infer(self, images: Batch) -> Batch:
        try:
            self._request.infer({0: images}, share_inputs=True)
        except RuntimeError as error:
            raise InvalidInput(f"openvino failed on the batch: {one_line(error)}") from None
        # Copied, because the next request overwrites the engine's tensor.
        return np.array(self._request.get_output_tensor(0).data, np.float32)


def engine() -> Any:
    """The module of the engine."""
    with no_telemetry():
        return require("openvino", extra=OpenVino.extra)


@cache
def core() -> Any:
    """The one ``Core`` of this process. It is never deleted.

    A ``Core`` for each model costs time, and deleting one can end the process: see ``same_signal_stack``.
    """
    return engine().Core()


@cache
def _frontends() -> Any:
    return engine().frontend.FrontEndManager()


def _read(file: Path) -> Any:
    """The model of an .xml or .onnx file."""
    check_file(file)
    # The frontend is named, because otherwise OpenVINO tries every frontend on a file that it does not know.
    kind = "onnx" if file.suffix == ".onnx" else "ir"
    frontends = _frontends()
    try:
        frontend = frontends.load_by_framework(kind)
        model = frontend.convert(frontend.load(str(file)))
    except Exception as error:  # noqa: BLE001  the frontends' exceptions share no narrower base
        raise InvalidInput(
            f"{file.name}: no model that openvino can load ({one_line(error)})", hint=LOAD_HINT
        ) from None
    if not model.inputs or not model.outputs:
        raise InvalidInput(
            f"{file.name}: no model that openvino can load (it has no inputs or outputs)", hint=LOAD_HINT
        )
    return model


def _embed(graph: Any, images: Sequence[Batch]) -> Batch:
    """Unit vectors of images [1, 3, height, width], computed in float32 on one thread."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    request = core().compile_model(graph, "CPU", options).create_infer_request()
    return np.concatenate([np.array(request.infer({0: image})[0], np.float32) for image in images])


def _is_scale(constant: Any) -> bool:
    """Whether a constant is the scale of 8-bit weights."""
    users = [port.get_node() for port in constant.output(0).get_target_inputs()]
    factors = [
        source.get_node() for user in users if user.get_type_name() == "Multiply" for source in user.input_values()
    ]
    return any(factor.get_type_name() == "Convert" for factor in factors)


def _sizes(shape: Any) -> list[int | None]:
    static = shape.rank.is_static
    return [size.get_length() if size.is_static else None for size in shape] if static else []
