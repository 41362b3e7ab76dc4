"""Finishing: completing an artifact with a predicted latency on its device, without torch."""

from prunnet_export.finishing._finish import Finish

__all__ = ["Finish"]
