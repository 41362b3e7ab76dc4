"""Runtimes: engines that execute an artifact, found through the entry-point group ``prunnet_export.runtimes``."""

from prunnet_export.runtimes._base import Runtime, find_runtime
from prunnet_export.runtimes._session import Batch, Session, Shape

__all__ = ["Batch", "Runtime", "Session", "Shape", "find_runtime"]
