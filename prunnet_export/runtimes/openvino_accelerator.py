"""An older address of OpenVINO's accelerators, for installations whose entry points still name it."""

from prunnet_export.runtimes.openvino import OpenVinoGpu, OpenVinoNpu

__all__ = ["OpenVinoGpu", "OpenVinoNpu"]
