"""The fingerprint of this machine."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import msgspec

from prunnet_export._cores import affinity_cores, quota_cores
from prunnet_export.devices._cpu_info import cpu_facts
from prunnet_export.devices._emulator import emulator
from prunnet_export.devices._protocol import Fingerprint

_MODEL = Path("/proc/device-tree/model")
_LONGEST = 200  # characters of a fact


def fingerprint() -> Fingerprint:
    """This machine's fingerprint. Two machines have the same one only if their latencies may be compared."""
    cores, quota = affinity_cores(), quota_cores()
    facts: dict[str, object] = {
        "cpu": _cpu(),
        "cores": cores,
        "arch": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    if quota is not None and quota < cores:  # where there is none, ids stay what they were before quotas were read
        facts["quota"] = quota
    if emulated_by := emulator():
        facts["emulator"] = emulated_by
    facts = {key: value[:_LONGEST] if isinstance(value, str) else value for key, value in facts.items()}
    digest = hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()
    return msgspec.convert({"id": digest[:12], **facts}, Fingerprint)


def _cpu() -> str:
    """The name of the processor, or of the board on Arm, where the kernel does not name the processor."""
    if name := cpu_facts().get("model name"):
        return name
    try:
        return _MODEL.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return platform.processor() or "unknown"
