"""Whether this process runs on an emulated processor.

An emulator computes what the processor would compute, but it takes its own time. So its times say nothing about the
device.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from prunnet_export.devices._cpu_info import cpu_facts

_SHOWN = Path("/proc/self/exe")
_REAL = Path("/proc/thread-self/exe")
_ELF = b"\x7fELF"
_MACHINE = slice(18, 20)  # bytes of an ELF header with the number of its instruction set
_X86_VENDORS = {"AuthenticAMD", "GenuineIntel", "HygonGenuine", "CentaurHauls"}
_X86 = {"x86_64", "amd64", "i386", "i686"}
_TCG = "QEMU TCG CPU"
_ROSETTA = "VirtualApple"


def emulator() -> str | None:
    """The name of the emulator that runs this process; None if none was found.

    Two signs are looked for on Linux. An emulator of processes (user-mode QEMU, Box64, FEX) answers ``/proc/self`` with
    the emulated program, and the kernel answers ``/proc/thread-self`` with the emulator. The file of the processor
    names a vendor of x86 on another instruction set, or the own processor of QEMU or of Rosetta. An emulator of a whole
    Arm machine shows neither sign.
    """
    return _other_program() or _other_processor(cpu_facts(), platform.machine())


def _other_program() -> str | None:
    """The name of the program that runs in fact, if its instruction set is not that of this program."""
    try:
        if _instruction_set(_SHOWN) == _instruction_set(_REAL):
            return None
        return _REAL.readlink().name.removesuffix(" (deleted)") or "unknown"
    except OSError:  # no Linux, or no /proc
        return None


def _instruction_set(program: Path) -> bytes:
    """The number of the instruction set in the header of a program, as two bytes; empty if it is not in ELF."""
    with program.open("rb") as opened:
        head = opened.read(_MACHINE.stop)
    return head[_MACHINE] if head.startswith(_ELF) else b""


def _other_processor(facts: Mapping[str, str], machine: str) -> str | None:
    """The name of an emulator that the facts in ``/proc/cpuinfo`` give away."""
    if _TCG in facts.get("model name", ""):
        return "QEMU"
    if facts.get("vendor_id") == _ROSETTA:
        return "Rosetta"
    if facts.get("vendor_id") in _X86_VENDORS and machine.lower() not in _X86:
        return f"unknown, on {facts['vendor_id']}"
    return None
