"""What the kernel says about the processor."""

from __future__ import annotations

from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def cpu_facts() -> dict[str, str]:
    """The facts in ``/proc/cpuinfo`` by name, each with its first value that is not empty; none on other systems."""
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if value:
            facts.setdefault(key, value)
    return facts
