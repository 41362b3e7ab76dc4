"""Conversion from ONNX to MNN's format, by the converter in MNN's wheel, in a process of its own."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunnet_export._child import child_command, inherited
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes.mnn._file import TINY, Layer, Weights, layers, restore_zeros

# The wheel's command `mnnconvert` is not used, because it installs a logging service with pip and reports to it.
_CONVERT = "prunnet_export.runtimes.mnn._mnnconvert"
_DETECT = "--detectSparseSpeedUp"
_BLOCKS = {
    "version": "0.0.0",
    "algo": [{"type": "PRUNE", "pruneParams": {"type": "SIMD_OC", "simdOcPrunerParams": {"ocBlocks": [4]}}}],
}

# The kernel for blocks of four multiplies twice as fast as the one for single weights (measured on ResNet-18, 224 px,
# with 20 % of the weights in blocks: the layers take 7.9 and 14.2 ms).
_BLOCK_GAIN = 2

_PLACE = re.compile(r"^(\[[\d:]+\]|:\d+:)\s*")


class Converter:
    """Converts one exported network, with dense or sparse layers; raises InvalidInput if the converter fails."""

    def __init__(self, onnx_file: Path) -> None:
        self._file = onnx_file
        self._model = _read(onnx_file)

    def dense(self) -> bytes:
        """The model with every layer dense."""
        return self._convert(self._model)

    def sparse(self, kept_dense: Sequence[Layer] = ()) -> bytes:
        """The model with every layer sparse in which MNN finds enough zeros, except those in ``kept_dense``.

        MNN needs 30 % zeros in blocks of four outputs, or 60 % single zeros. Blocks are used if they are faster
        although they also multiply zeros. Grouped layers stay dense.
        """
        model = self._without_zeros(kept_dense)
        blocks = self._convert(model, _DETECT, blocks=True)
        found = [layer for layer in layers(blocks) if layer.multiplied is not None]
        kept = sum(np.count_nonzero(layer.weights) for layer in found)
        if found and sum(layer.multiplied or 0 for layer in found) <= _BLOCK_GAIN * kept:
            return blocks
        return self._convert(model, _DETECT)

    def _without_zeros(self, kept_dense: Sequence[Layer]) -> Any:
        """The network with a tiny number in place of each zero of layers that stay dense. MNN then finds no zeros."""
        onnx = require("onnx", extra="host")
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        # MNN 3.6 computes wrong results for sparse grouped layers.
        names = {node.input[1] for node in model.graph.node if _is_grouped(node)}
        known = [layer.weights.ravel() for layer in kept_dense]
        for tensor in model.graph.initializer:
            # Layers are found by their weights, because the converter changes their names.
            if tensor.name in names or _is_any_of(known, tensor):
                values = onnx.numpy_helper.to_array(tensor)
                filled = np.where(values == 0, np.float32(TINY), values)
                tensor.CopyFrom(onnx.numpy_helper.from_array(filled, tensor.name))
        return model

    def _convert(self, model: Any, *flags: str, blocks: bool = False) -> bytes:
        onnx = require("onnx", extra="host")
        with TemporaryFolder("mnn") as temporary:
            folder = Path(temporary)
            onnx.save(model, folder / "model.onnx")
            if blocks:
                (folder / "blocks.json").write_text(json.dumps(_BLOCKS), encoding="utf-8")
                flags = (*flags, "--compressionParamsFile", "blocks.json")
            done = subprocess.run(
                [
                    *child_command(_CONVERT),
                    *("-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"),
                    *("--bizCode", "prunnet", "--groupConvNative", *flags),
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                pass_fds=inherited(),
            )
            result = folder / "model.mnn"
            if done.returncode == 0 and result.is_file():
                return restore_zeros(read_bytes(result, at_most=MODEL_BYTES))
        raise InvalidInput(
            f"{self._file.name}: mnn cannot convert it ({_last_message(done)})",
            hint="its converter does not have every operator of ONNX",
        )


def _read(file: Path) -> Any:
    """The ONNX model with external weights, and with ``ReduceL2`` in a form that the converter reads correctly."""
    onnx, model = require("onnx", extra="host"), read_onnx(file)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        # From opset 18 on, axes are an input. MNN 3.6 ignores that input of ReduceL2 and reduces over the whole batch.
        if node.op_type == "ReduceL2" and len(node.input) > 1 and node.input[1] in constants:
            axes = onnx.numpy_helper.to_array(constants[node.input.pop()])
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))
    return model


def _is_grouped(node: Any) -> bool:
    return node.op_type == "Conv" and any(one.name == "group" and one.i > 1 for one in node.attribute)


def _is_any_of(known: Sequence[Weights], tensor: Any) -> bool:
    """Whether an initializer has the weights of one of the layers, or their transpose, as linear layers may have."""
    candidates = [weights for weights in known if weights.size == math.prod(tensor.dims)]
    if not candidates:
        return False
    values = require("onnx.numpy_helper", extra="host").to_array(tensor)
    orders = (values.ravel(), values.T.ravel())
    return any(np.array_equal(order, weights) for order in orders for weights in candidates)


def _last_message(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line of the converter's output that states a cause."""
    if done.returncode < 0:
        return f"its converter died of signal {-done.returncode}"
    lines = [_PLACE.sub("", _PLACE.sub("", line.strip())) for line in done.stdout.decode(errors="replace").splitlines()]
    causes = [line for line in lines if line and line != "Converted Failed!"]
    return causes[-1] if causes else f"exit code {done.returncode}"
