"""Core ML on Apple devices."""

from prunnet_export.runtimes.coreml._runtime import CoreMl

__all__ = ["CoreMl"]
