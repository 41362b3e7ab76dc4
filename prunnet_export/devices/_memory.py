"""Resident memory of this process, as the kernel reports it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from prunnet_export._errors import Unreachable
from prunnet_export._system import WINDOWS

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_KIB = 1024


class _Usage(NamedTuple):
    """The resident set and its peak, MiB, and the kernel's field of the peak."""

    resident_mb: float
    peak_mb: float
    source: str


class PeakMemory:
    """The peak resident set since this object was made, in MiB.

    If the kernel cannot reset the peak, an earlier peak of the process counts too, and ``source`` says so on Linux.
    ``base_mb`` is the resident set when this object was made, or its peak on systems that know only the peak.

    Raises:
        Unreachable: this system does not say how much memory a process uses.
    """

    def __init__(self) -> None:
        self.source = _usage().source
        if self.source == "VmHWM":
            try:
                _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
            except OSError:
                self.source += ", not reset"
        self.base_mb = _usage().resident_mb

    def growth_mb(self) -> float:
        """The peak above ``base_mb``, never negative."""
        return max(0.0, self.process_mb() - self.base_mb)

    def process_mb(self) -> float:
        """The peak of the whole process."""
        return _usage().peak_mb


def _usage() -> _Usage:
    """The memory of this process from the first source that this system has."""
    found = _of_proc() or (_of_windows() if WINDOWS else _of_posix())
    if found is None:
        raise Unreachable("this system does not say how much memory a process uses", hint="measure on another device")
    return found


def _of_proc() -> _Usage | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    try:
        return _Usage(int(fields["VmRSS"][0]) / _KIB, int(fields["VmHWM"][0]) / _KIB, "VmHWM")
    except (LookupError, ValueError):
        return None


def _of_posix() -> _Usage | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / _KIB / (_KIB if sys.platform == "darwin" else 1)
    return _Usage(peak_mb, peak_mb, "ru_maxrss")


def _of_windows() -> _Usage | None:
    """The working set. Its peak counts from the start of the process, because Windows cannot reset it."""
    import ctypes

    sizes = ("peak", "now", "paged_peak", "paged", "other_peak", "other", "page_file", "page_file_peak")

    class Counters(ctypes.Structure):
        _fields_ = [("cb", ctypes.c_uint32), ("faults", ctypes.c_uint32), *((name, ctypes.c_size_t) for name in sizes)]

    counters = Counters(cb=ctypes.sizeof(Counters))
    try:
        ask = ctypes.CDLL("kernel32").K32GetProcessMemoryInfo
    except (OSError, AttributeError):
        return None
    this_process = ctypes.c_void_p(-1)
    if not ask(this_process, ctypes.byref(counters), counters.cb):
        return None
    return _Usage(counters.now / _KIB**2, counters.peak / _KIB**2, "PeakWorkingSetSize")
