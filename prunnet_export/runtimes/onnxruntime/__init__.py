"""ONNX Runtime on the CPU."""

from prunnet_export.runtimes.onnxruntime._runtime import OnnxRuntime, OnnxSession

__all__ = ["OnnxRuntime", "OnnxSession"]
