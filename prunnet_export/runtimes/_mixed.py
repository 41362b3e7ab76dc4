"""Mixed precision by measurement: layers that lose too much in INT8 stay in float, as few as possible."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prunnet_export._documents import read_json
from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._text import one_line
from prunnet_export.precision import INT8
from prunnet_export.runtimes._base import CompileInputs
from prunnet_export.runtimes._calibration import calibration_images
from prunnet_export.runtimes._quantise_onnx import OnnxQuantiser
from prunnet_export.runtimes._session import Batch

RECORD = "float_layers.json"
COMPARED = 300
"""So many images are compared with fp32."""

GOAL = INT8.parity + (1 - INT8.parity) / 2
"""The least cosine on calibration images. It is above the gate's, because the gate is asked of other images, and the
worst of those is often lower."""

_RANKED_IMAGES = 32
_RANKED_LAYERS, _RANKED_S = 150, 90.0
_NAMED = 5
_FATAL_ONLY = 4


class FloatLayers(msgspec.Struct, frozen=True):
    """What mixed precision did: a file beside the compiled model, which is not deployed.

    Attributes:
        kept: Names of the layers that stay in float, the most harmful first.
        harmful: If no choice of layers reaches the goal: the names of the layers that lose most in INT8.
    """

    kept: tuple[str, ...] = ()
    harmful: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the record into the folder of a compiled model, unless it is empty."""
        if self != FloatLayers():
            (folder / RECORD).write_bytes(msgspec.json.encode(self))


def read_float_layers(folder: Path) -> FloatLayers:
    """The record in the folder of a compiled model; an empty one if there is none."""
    file = folder / RECORD
    return read_json(file, FloatLayers, hint="export the model again") if file.is_file() else FloatLayers()


def quantise_mixed(model: Any, inputs: CompileInputs | None, folder: Path, *, symmetric: bool) -> Any:
    """The network of an ONNX model in INT8, with as few layers in float as needed; the record goes into ``folder``.

    The arguments are those of :class:`OnnxQuantiser`, which raises InvalidInput if the images do not fit.
    """
    images = calibration_images(inputs)
    quantiser = OnnxQuantiser(model, images, symmetric=symmetric)
    if inputs is None or not inputs.accurate:
        return quantiser.quantise()
    worst = worst_cosine_onnx(quantiser, images[:COMPARED])
    nodes, record = choose_float_layers(lambda: quantiser, images, worst)
    record.write(folder)
    return quantiser.quantise(nodes)


@dataclass(frozen=True)
class Layer:
    """A node that INT8 may leave in float: its name in the graph, and the name of its weights for people."""

    node: str
    label: str


def choose_float_layers(
    quantiser: Callable[[], OnnxQuantiser], images: Sequence[Batch], worst: Callable[[Sequence[str]], float]
) -> tuple[Sequence[str], FloatLayers]:
    """The fewest nodes to leave in float so that the goal is reached, the most harmful first.

    Args:
        quantiser: Makes the quantiser that ranks the layers. Each one is quantised alone.
        images: Calibration images, each float32 [1, 3, height, width].
        worst: The worst cosine between fp32 and INT8 with these nodes in float.

    Returns:
        Names of the nodes, and the record. No node stays in float if even all of them together do not reach the goal.
    """
    if worst([]) >= GOAL:
        return [], FloatLayers()
    ranked = _ranked(quantiser(), images[:_RANKED_IMAGES])
    nodes = [layer.node for layer in ranked]
    if worst(nodes) < GOAL:
        return [], FloatLayers(harmful=tuple(layer.label for layer in ranked[:_NAMED]))
    fails, holds = 0, len(nodes)
    while holds - fails > 1:
        middle = (fails + holds) // 2
        if worst(nodes[:middle]) >= GOAL:
            holds = middle
        else:
            fails = middle
    return nodes[:holds], FloatLayers(kept=tuple(layer.label for layer in ranked[:holds]))


def worst_cosine_onnx(quantiser: OnnxQuantiser, images: Sequence[Batch]) -> Callable[[Sequence[str]], float]:
    """A function that quantises with these nodes in float, and returns the worst cosine to fp32 on the images."""
    exact = _embed(quantiser.prepared, images)
    return lambda nodes: worst_cosine(exact, _embed(quantiser.quantise(nodes), images))


def worst_cosine(exact: Batch, found: Batch) -> float:
    """The least cosine between two sets of unit vectors; -1 if one of them is not finite."""
    cosines = np.nan_to_num((exact * found).sum(axis=1), nan=-1.0)
    return float(cosines.min())


def _ranked(quantiser: OnnxQuantiser, images: Sequence[Batch]) -> list[Layer]:
    """The layers, the one with the lowest cosine first if it alone is quantised. Those not measured come last."""
    layers = _layers(quantiser.prepared)
    worst = worst_cosine_onnx(quantiser, images)
    end = time.monotonic() + _RANKED_S
    found: dict[Layer, float] = {}
    for layer in layers[:_RANKED_LAYERS]:
        if time.monotonic() > end:
            break
        found[layer] = worst([other.node for other in layers if other is not layer])
    return sorted(layers, key=lambda layer: found.get(layer, np.inf))


def _layers(model: Any) -> list[Layer]:
    """Layers, products of activations and sums, in the order of the graph."""
    weights = {tensor.name for tensor in model.graph.initializer}
    layers = []
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm", "MatMul", "Add"}:
            own = [name for name in node.input[1:2] if name in weights and node.op_type != "Add"]
            label = own[0].removesuffix(".weight") if own else node.name
            layers.append(Layer(node.name, label.removeprefix("embedder.")))
    return layers


def _embed(model: Any, images: Sequence[Batch]) -> Batch:
    """Unit vectors of the images, computed by ONNX Runtime on one thread."""
    engine = require("onnxruntime", extra="host")
    options = engine.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = 1
    try:
        session = engine.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        rows = [session.run(None, {name: image})[0] for image in images]
    except Exception as error:  # noqa: BLE001  the engine's exceptions share no narrower base
        raise InvalidInput(
            f"the quantised network cannot be compared ({one_line(error)})", hint="use another precision"
        ) from None
    return np.concatenate(rows)
