"""Small ONNX graphs for the runtimes that rewrite them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from prunnet_export.building import export_onnx
from prunnet_export.network import PrunableNetwork
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import find_pattern, materialise
from tests._inputs import TINY_RESNET, prunable

Array = npt.NDArray[np.float32]
SMALL_VIT: dict[str, BackboneOption] = {"depth": 1, "embed_dim": 32, "num_heads": 2}


def graph_of(
    nodes: Sequence[Any],
    weights: Mapping[str, Any],
    *,
    shapes: tuple[Sequence[int | str], Sequence[int | str]] = (("batch", 3, 8, 8), ("batch", 4)),
) -> Any:
    """A model from ``images`` to ``embeddings``, float32."""
    source, result = shapes
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, source)],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def weights_of(model: Any) -> dict[str, npt.NDArray[np.generic]]:
    """The initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model: Any, images: Array) -> Array:
    """The result of ONNX Runtime's CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [embeddings] = session.run(None, {"images": images})
    result: Array = embeddings
    return result


@cache
def small_network(backbone: str) -> PrunableNetwork:
    """A prunable network for images of 32 pixels."""
    options = TINY_RESNET if backbone == "resnet18" else SMALL_VIT
    return prunable(backbone, crop=32, dim=8, options=options, gain=2**0.5)


@cache
def exported(backbone: str, pattern: str = "2:4", capacity: float = 0.5) -> bytes:
    """A small network, cut, as a file's content."""
    network = small_network(backbone)
    [chosen] = find_pattern(pattern, 4).subnetworks(network, [capacity])
    with TemporaryDirectory(prefix="prunnet-test-") as folder:
        file = Path(folder) / "subnetwork.onnx"
        export_onnx(materialise(network, chosen), file, size=(32, 32))
        return file.read_bytes()


def load(content: bytes) -> Any:
    """The model of a file's content."""
    return onnx.load_from_string(content)
