"""MNN on the CPU."""

from prunnet_export.runtimes.mnn._runtime import Mnn

__all__ = ["Mnn"]
