"""Runtimes: engines that execute an artifact, found through the entry-point group ``prunnet_export.runtimes``."""

from prunnet_export.runtimes._base import CompileInputs, Model, Runtime, dense_kernels, find_runtime
from prunnet_export.runtimes._checks import check_threads, engine_threads
from prunnet_export.runtimes._mixed import FloatLayers, read_float_layers
from prunnet_export.runtimes._onnx_file import read_onnx
from prunnet_export.runtimes._session import Batch, Session, Shape, embedding_shape

__all__ = [
    "Batch",
    "CompileInputs",
    "FloatLayers",
    "Model",
    "Runtime",
    "Session",
    "Shape",
    "check_threads",
    "dense_kernels",
    "embedding_shape",
    "engine_threads",
    "find_runtime",
    "read_float_layers",
    "read_onnx",
]
