"""Finishing: an artifact whose latency was predicted is completed on its device. No torch is needed."""

from prunnet_export.finishing._finish import Finish

__all__ = ["Finish"]
