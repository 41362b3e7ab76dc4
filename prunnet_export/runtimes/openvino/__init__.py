"""OpenVINO on processors, and on Intel's GPUs and NPUs."""

from prunnet_export.runtimes.openvino._accelerator import OpenVinoGpu, OpenVinoNpu
from prunnet_export.runtimes.openvino._runtime import OpenVino

__all__ = ["OpenVino", "OpenVinoGpu", "OpenVinoNpu"]
