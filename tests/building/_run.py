"""Exported files in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from torch import Tensor


def run_onnx(file: Path, batch: Tensor) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [embeddings] = session.run(["embeddings"], {"images": batch.numpy()})
    result: npt.NDArray[np.float32] = embeddings
    return result
