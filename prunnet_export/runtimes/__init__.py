"""Runtimes: engines that execute an artifact, found through the entry-point group ``prunnet_export.runtimes``."""

from prunnet_export.runtimes._base import Batch, Runtime, Session, find_runtime

__all__ = ["Batch", "Runtime", "Session", "find_runtime"]
