"""TensorRT and TensorRT-RTX on NVIDIA's GPUs."""

from prunnet_export.runtimes.tensorrt._rtx import TensorRtRtx
from prunnet_export.runtimes.tensorrt._runtime import TensorRt

__all__ = ["TensorRt", "TensorRtRtx"]
