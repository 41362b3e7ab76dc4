"""From ONNX to MNN's own format, by the converter of MNN's wheel, in a process of its own."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes.mnn._file import TINY, Layer, Weights, layers, restore_zeros

# Not the wheel's `mnnconvert`: that one installs a logging service with pip, and reports to it what it converted.
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
_DETECT = "--detectSparseSpeedUp"
_BLOCKS = {
    "version": "0.0.0",
    "algo": [{"type": "PRUNE", "pruneParams": {"type": "SIMD_OC", "simdOcPrunerParams": {"ocBlocks": [4]}}}],
}

# The kernel for blocks of four multiplies twice as fast as that for single weights (measured: ResNet-18, 224 px, 20 %
# of the weights in blocks, its layers take 7.9 and 14.2 ms).
_BLOCK_GAIN = 2

_PLACE = re.compile(r"^(\[[\d:]+\]|:\d+:)\s*")


class Converter:
    """Makes variants of one exported network; InvalidInput where the converter fails on it."""

    def __init__(self, onnx_file: Path) -> None:
        self._file = onnx_file
        self._model = _read(onnx_file)

    def dense(self) -> bytes:
        """The model with every layer dense."""
        return self._convert(self._model)

    def sparse(self, kept_dense: Sequence[Layer] = ()) -> bytes:
        """The model with those layers sparse in which MNN finds enough zeros, but for those that are ``kept_dense``.

        It takes zeros in blocks of four outputs from 30 % on, single ones from 60 % on. Blocks are asked for where
        they are fast enough to make up for the weights that they multiply for nothing. Grouped layers stay dense.
        """
        model = self._without_zeros(kept_dense)
        blocks = self._convert(model, _DETECT, blocks=True)
        found = [layer for layer in layers(blocks) if layer.multiplied is not None]
        kept = sum(np.count_nonzero(layer.weights) for layer in found)
        if found and sum(layer.multiplied or 0 for layer in found) <= _BLOCK_GAIN * kept:
            return blocks
        return self._convert(model, _DETECT)

    def _without_zeros(self, kept_dense: Sequence[Layer]) -> Any:
        """The network with a tiny number in place of each zero of layers that stay dense: MNN finds none there."""
        onnx = require("onnx", extra="host")
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        # MNN 3.6 takes grouped layers too, and then computes something else.
        names = {node.input[1] for node in model.graph.node if _is_grouped(node)}
        known = [layer.weights.ravel() for layer in kept_dense]
        for tensor in model.graph.initializer:
            # Names change on the way, weights do not.
            if tensor.name in names or _is_any_of(known, tensor):
                values = onnx.numpy_helper.to_array(tensor)
                filled = np.where(values == 0, np.float32(TINY), values)
                tensor.CopyFrom(onnx.numpy_helper.from_array(filled, tensor.name))
        return model

    def _convert(self, model: Any, *flags: str, blocks: bool = False) -> bytes:
        onnx = require("onnx", extra="host")
        with TemporaryDirectory(prefix="prunnet-mnn-") as temporary:
            folder = Path(temporary)
            onnx.save(model, folder / "model.onnx")
            if blocks:
                (folder / "blocks.json").write_text(json.dumps(_BLOCKS), encoding="utf-8")
                flags = (*flags, "--compressionParamsFile", "blocks.json")
            done = subprocess.run(
                [
                    *(sys.executable, "-c", _CONVERT),
                    *("-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"),
                    *("--bizCode", "prunnet", "--groupConvNative", *flags),
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            result = folder / "model.mnn"
            if done.returncode == 0 and result.is_file():
                return restore_zeros(result.read_bytes())
        raise InvalidInput(
            f"{self._file.name}: mnn cannot convert it ({_last_message(done)})",
            hint="its converter does not have every operator of ONNX",
        )


def _read(file: Path) -> Any:
    """The ONNX model, external weights included, in the words that the converter understands."""
    onnx, model = require("onnx", extra="host"), read_onnx(file)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        # Axes are an input from opset 18 on. MNN 3.6 reads them there for every reduction but this one, which it
        # then takes over the whole batch.
        if node.op_type == "ReduceL2" and len(node.input) > 1 and node.input[1] in constants:
            axes = onnx.numpy_helper.to_array(constants[node.input.pop()])
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))
    return model


def _is_grouped(node: Any) -> bool:
    return node.op_type == "Conv" and any(one.name == "group" and one.i > 1 for one in node.attribute)


def _is_any_of(known: Sequence[Weights], tensor: Any) -> bool:
    """Whether an initializer holds the weights of a layer; a linear layer's may be transposed."""
    candidates = [weights for weights in known if weights.size == math.prod(tensor.dims)]
    if not candidates:
        return False
    values = require("onnx.numpy_helper", extra="host").to_array(tensor)
    orders = (values.ravel(), values.T.ravel())
    return any(np.array_equal(order, weights) for order in orders for weights in candidates)


def _last_message(done: subprocess.CompletedProcess[bytes]) -> str:
    """What the converter said last that is no statement of success or failure."""
    if done.returncode < 0:
        return f"its converter died of signal {-done.returncode}"
    lines = [_PLACE.sub("", _PLACE.sub("", line.strip())) for line in done.stdout.decode(errors="replace").splitlines()]
    telling = [line for line in lines if line and line != "Converted Failed!"]
    return telling[-1] if telling else f"exit code {done.returncode}"
