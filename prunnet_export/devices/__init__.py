"""Devices: machines that time, embed and place models in a fresh process without torch."""

from prunnet_export.devices._asking import embed, layer_times, measure_latency, peak_memory_mb, placement
from prunnet_export.devices._base import Device, find_device
from prunnet_export.devices._local import LocalDevice
from prunnet_export.devices._protocol import Fingerprint, MemoryReply

__all__ = [
    "Device",
    "Fingerprint",
    "LocalDevice",
    "MemoryReply",
    "embed",
    "find_device",
    "layer_times",
    "measure_latency",
    "peak_memory_mb",
    "placement",
]
