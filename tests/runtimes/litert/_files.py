"""Small cut networks as TFLite files, each converted once: what converts them takes seconds to load."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from prunnet_export.network import Normalised
from prunnet_export.runtimes import Batch
from prunnet_export.runtimes.litert import _runtime
from prunnet_export.runtimes.litert._export import convert, quantise
from prunnet_export.runtimes.litert._file import TfliteGraph
from tests.runtimes._embedders import CROP, embedder, inputs


def graph(content: bytes) -> TfliteGraph:
    return TfliteGraph(content, name="m.tflite")


@cache
def in_fp32(pattern: str = "unstructured", capacity: float = 0.4) -> bytes:
    """A subnetwork in float32."""
    return convert(Normalised(embedder(pattern, capacity)).eval(), (1, 3, CROP, CROP))


@cache
def in_int8(pattern: str = "unstructured", capacity: float = 0.4) -> bytes:
    """A subnetwork in INT8."""
    return quantise(in_fp32(pattern, capacity), [image[None] for image in inputs()])


def norm_operators() -> tuple[str, ...]:
    """The operators after the last layer. They compute the L2 norm, and torch's version decides about their number."""
    operators = graph(in_fp32()).operators
    return operators[len(operators) - operators[::-1].index("FULLY_CONNECTED") :]


def converted_before(monkeypatch: pytest.MonkeyPatch, pattern: str = "unstructured", capacity: float = 0.4) -> None:
    """Let what compiles a subnetwork find it converted and quantised already."""
    content, quantised = in_fp32(pattern, capacity), in_int8(pattern, capacity)

    def once(module: object, shape: tuple[int, ...]) -> bytes:
        assert isinstance(module, Normalised)
        assert shape == (1, 3, CROP, CROP)
        return content

    def then(converted: bytes, images: list[Batch]) -> bytes:
        assert converted == content
        np.testing.assert_array_equal(np.concatenate(images), inputs())
        return quantised

    monkeypatch.setattr(_runtime, "convert", once)
    monkeypatch.setattr(_runtime, "quantise", then)
