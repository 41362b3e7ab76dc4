"""Runtimes: engines that execute an artifact, found through the entry-point group ``prunnet_export.runtimes``."""

from prunnet_export.runtimes._base import Aids, Model, Runtime, find_runtime
from prunnet_export.runtimes._session import Batch, Session, Shape, check_threads, embedding_shape

__all__ = ["Aids", "Batch", "Model", "Runtime", "Session", "Shape", "check_threads", "embedding_shape", "find_runtime"]
