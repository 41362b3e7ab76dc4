"""The anchor: a small network that never changes. Its latency beside a model's shows what the machine was doing.

Two measurements of a model at different times differ by more than noise, as clocks and other work on the machine
change. The ratio to a network that was timed in turns with the model differs less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._files import replace_file
from prunnet_export._imports import installed_versions, plugin_version, require
from prunnet_export.building._cache import BuildCache
from prunnet_export.runtimes import CompileInputs, Model, Runtime

ANCHOR = "anchor-1"
"""Name and version. A change of anything below makes another anchor, which needs another name."""

_SIDE = 128  # pixels of the input image
# Of 3x3 convolutions with stride 2: 70 million multiply-adds. The weights, 3.9 MB, do not fit into the second cache of
# most cores. So the anchor feels a busy memory about as much as a real network does.
_CHANNELS = (3, 32, 64, 128, 256, 256)
_OPSET, _IR_VERSION = 17, 9
_GOLDEN = (math.sqrt(5) - 1) / 2
_IMAGES = 8  # random images, if the engine calibrates


def build_anchor(runtime: Runtime, cache: BuildCache, *, device: str) -> Model:
    """The anchor, compiled for a runtime in its most exact precision.

    Args:
        runtime: The runtime to compile for.
        cache: The cache of compiled files.
        device: Fingerprint of the device, because some engines run only on one device.

    Raises:
        PrunnetError: it cannot be compiled here, e.g. because onnx is not installed.
    """
    precision = runtime.precisions[0].name
    parts = {
        "anchor": ANCHOR,
        "precision": precision,
        "runtime": [runtime.name, runtime.version(), plugin_version("runtimes", runtime.name)],
        "device": device,
        "tools": installed_versions("prunnet-export", "onnx", *runtime.distributions),
    }

    def make(folder: Path) -> tuple[str, ...]:
        onnx_file = folder / f"{ANCHOR}.onnx"
        write_anchor(onnx_file)
        inputs = CompileInputs(images=_images, module=_module, accurate=False)
        return runtime.compile(onnx_file, folder, precision=precision, inputs=inputs)

    folder, names = cache.get(parts, make)
    files = tuple(folder / name for name in names)
    return Model(files[0], runtime.name, precision, files)


def write_anchor(file: Path) -> None:
    """Write the anchor as ONNX: images float32 [batch, 3, 128, 128] to unit vectors [batch, 256].

    Raises:
        MissingExtra: onnx is not installed.
        StorageError: the file cannot be written.
    """
    onnx = require("onnx", extra="host")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes, source = [], "images"
    for index in range(len(_CHANNELS) - 1):
        conv, relu = f"conv{index}", f"relu{index}"
        attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
        nodes.append(helper.make_node("Conv", [source, f"{conv}.weight"], [conv], conv, **attributes))
        nodes.append(helper.make_node("Relu", [conv], [relu], relu))
        source = relu
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("LpNormalization", ["flat"], ["embeddings"], "norm", axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        ANCHOR,
        [helper.make_tensor_value_info("images", kind, ["batch", 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info("embeddings", kind, ["batch", _CHANNELS[-1]])],
        [onnx.numpy_helper.from_array(weight, f"conv{index}.weight") for index, weight in enumerate(_weights())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    replace_file(file, onnx.shape_inference.infer_shapes(model).SerializeToString())


def _weights() -> Iterator[npt.NDArray[np.float32]]:
    """The weights of each convolution, float32 [out, in, 3, 3].

    They are the fractional parts of multiples of the golden ratio, which no release of a library changes. Their scale
    keeps activations in a range without denormal numbers, which are slow to compute with.
    """
    for before, after in pairwise(_CHANNELS):
        shape = (after, before, 3, 3)
        fractions = np.arange(1, math.prod(shape) + 1) * _GOLDEN % 1
        yield ((2 * fractions - 1) * math.sqrt(6 / (9 * before))).reshape(shape).astype(np.float32)


def _images() -> Iterator[npt.NDArray[np.float32]]:
    """A batch of random images; the latency does not depend on their content."""
    yield np.random.default_rng(0).random((_IMAGES, 3, _SIDE, _SIDE), np.float32)


def _module() -> Any:
    """The same network in torch, for engines that compile from there."""
    nn = require("torch", extra="train").nn
    layers: list[Any] = []
    for weight in _weights():
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=2, padding=1, bias=False)
        conv.weight = nn.Parameter(require("torch", extra="train").from_numpy(weight))
        layers += [conv, nn.ReLU()]

    class Anchor(nn.Sequential):  # type: ignore[misc, name-defined]  # torch is imported only here
        def forward(self, images: Any) -> Any:
            return nn.functional.normalize(super().forward(images))

    return Anchor(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
