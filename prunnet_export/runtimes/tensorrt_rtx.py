"""An older address of TensorRT-RTX, for installations whose entry points still name it."""

from prunnet_export.runtimes.tensorrt import TensorRtRtx

__all__ = ["TensorRtRtx"]
