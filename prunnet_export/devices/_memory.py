"""Resident memory of this process, as the kernel reports it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_KIB = 1024


class PeakMemory:
    """The peak resident set since this object was made, in MiB.

    If the kernel cannot reset the peak, an earlier peak of the process counts too, and ``source`` says so. ``base_mb``
    is the resident set when this object was made.
    """

    def __init__(self) -> None:
        self._status = _STATUS.is_file()
        self.source = "VmHWM" if self._status else "ru_maxrss"
        if self._status:
            try:
                _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
            except OSError:
                self.source += ", not reset"
        self.base_mb = resident_mb()

    def growth_mb(self) -> float:
        """The peak above ``base_mb``, never negative."""
        return max(0.0, self.process_mb() - self.base_mb)

    def process_mb(self) -> float:
        """The peak of the whole process."""
        return _status_mb("VmHWM") if self._status else _maximum_mb()


def resident_mb() -> float:
    """The current resident set in MiB, or its peak on systems without /proc."""
    return _status_mb("VmRSS") if _STATUS.is_file() else _maximum_mb()


def _status_mb(field: str) -> float:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == field:
            return int(value.split()[0]) / _KIB
    return _maximum_mb()


def _maximum_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _KIB / (_KIB if sys.platform == "darwin" else 1)
