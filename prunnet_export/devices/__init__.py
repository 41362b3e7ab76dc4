"""Devices: machines that time, embed and place models in a fresh process without torch."""

from prunnet_export.devices._address import parse_address
from prunnet_export.devices._base import Device
from prunnet_export.devices._find import find_device
from prunnet_export.devices._fingerprint import fingerprint
from prunnet_export.devices._local import LocalDevice
from prunnet_export.devices._memory import PeakMemory
from prunnet_export.devices._photo import photograph
from prunnet_export.devices._protocol import Fingerprint
from prunnet_export.devices._requests import (
    ModelTimes,
    Timed,
    embed,
    layer_times,
    measure_latency,
    measure_samples,
    peak_memory_mb,
    placement,
)

__all__ = [
    "Device",
    "Fingerprint",
    "LocalDevice",
    "ModelTimes",
    "PeakMemory",
    "Timed",
    "embed",
    "find_device",
    "fingerprint",
    "layer_times",
    "measure_latency",
    "measure_samples",
    "parse_address",
    "peak_memory_mb",
    "photograph",
    "placement",
]
