"""Teachers for tests: ONNX files of any shape, and one that needs no engine and counts what it embeds.

This module imports neither torch nor onnx, so that worker processes start quickly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from PIL import Image

from prunnet_export.preprocessing import Preprocessing
from prunnet_export.teachers import Teacher
from prunnet_export.teachers._teacher import Floats

SIDE = 8


class ColourTeacher(Teacher):
    """Gives the mean and the spread of each colour, and the product of both: vectors of length 9.

    Args:
        identity: Its identity.
        spoil: What it gives in place of the vectors: ``nan``, ``zero`` or ``exit``, which kills the process.
        seconds: Time that a call takes.
        reopened_as: Identity of the teacher that ``opener`` opens, if it is another one.
    """

    kind: ClassVar[Literal["onnx"]] = "onnx"

    def __init__(
        self, identity: str = "a" * 64, *, spoil: str = "", seconds: float = 0, reopened_as: str | None = None
    ) -> None:
        self.name, self.identity, self.dim = "colours.onnx", identity, 9
        self.preprocessing = Preprocessing(crop=SIDE, resize=SIDE)
        self.opener = partial(ColourTeacher, reopened_as or identity, spoil=spoil, seconds=seconds)
        self.embedded = 0
        self._spoil, self._seconds = spoil, seconds

    def run(self, inputs: Floats) -> Floats:
        self.embedded += len(inputs)
        time.sleep(self._seconds)
        if self._spoil == "exit":
            os._exit(9)
        pixels = inputs.reshape(len(inputs), 3, -1)
        mean, spread = pixels.mean(axis=2), pixels.std(axis=2) + 1
        vectors = np.concatenate([mean, spread, mean * spread], axis=1).astype(np.float32)
        if self._spoil:
            vectors[-1] = np.nan if self._spoil == "nan" else 0
        return vectors


def photos(count: int, *, side: int = 20) -> list[Image.Image]:
    draw = np.random.default_rng(5)
    return [Image.fromarray(draw.integers(0, 256, (side, side + 4, 3)).astype(np.uint8)) for _ in range(count)]


def write_photos(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{index:03}.png" for index in range(count)]
    for file, image in zip(files, photos(count), strict=True):
        image.save(file)
    return files


def onnx_teacher(
    file: Path,
    *,
    batch: int | str = "batch",
    side: int | str = SIDE,
    width: int | str | None = None,
    float16: bool = False,
    inputs: Sequence[str] = ("image",),
    outputs: Sequence[str] = ("vector",),
    channels_last: bool = False,
) -> Path:
    """Write a model: per-colour mean, times a matrix [3, 5]. Its outputs are chosen from those by name:

    ``vector`` [b, 5], ``map`` [b, 3, h, w] (or channels last), ``nchw`` [b, 3, h, w], ``tokens`` [b, h * w, 3],
    ``classes`` int64 [b].
    """
    onnx = pytest.importorskip("onnx")
    helper, to_tensor = onnx.helper, onnx.numpy_helper.from_array
    number = onnx.TensorProto.FLOAT16 if float16 else onnx.TensorProto.FLOAT
    wide = side if width is None else width
    axes = [batch, side, wide, 3] if channels_last else [batch, 3, side, wide]
    first: tuple[Any, ...] = ("Transpose", ["image"], ["nchw"], {"perm": [0, 3, 1, 2]})
    steps: list[tuple[Any, ...]] = [
        first if channels_last else ("Identity", ["image"], ["nchw"], {}),
        ("GlobalAveragePool", ["nchw"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["mean"], {}),
        ("MatMul", ["mean", "matrix"], ["vector"], {}),
        ("Identity", ["image"], ["map"], {}),
        ("Constant", [], ["flat"], {"value": to_tensor(np.array([0, 3, -1]))}),
        ("Reshape", ["nchw", "flat"], ["sequence"], {}),
        ("Transpose", ["sequence"], ["tokens"], {"perm": [0, 2, 1]}),
        ("ArgMax", ["vector"], ["classes"], {"axis": 1, "keepdims": 0}),
    ]
    shapes: dict[str, Any] = {
        "vector": [batch, 5],
        "map": axes,
        "nchw": [batch, 3, side, wide],
        "tokens": [batch, "tokens", 3],
        "classes": [batch],
    }
    matrix = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float16 if float16 else np.float32)
    graph = helper.make_graph(
        [helper.make_node(kind, source, target, **options) for kind, source, target, options in steps],
        "teacher",
        [helper.make_tensor_value_info(name, number, axes) for name in inputs],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.INT64 if name == "classes" else number, shapes[name])
            for name in outputs
        ],
        [to_tensor(matrix, "matrix")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file
