from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from prunnet_export.training._allocator import keep_freed_memory

SCRIPT = """
import resource
from prunnet_export.training._allocator import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

{call}
before = resident()
blocks = [b"x" * (25 * 2**20) for _ in range(4)]
del blocks
print((resident() - before) / 2**20)
"""


def kept_mib(call: str) -> float:
    """What a fresh process still holds of 100 MiB that it has freed."""
    command = [sys.executable, "-c", SCRIPT.format(call=call)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc of glibc alone is told what to keep")
def test_memory_that_was_freed_is_kept() -> None:
    assert kept_mib("") < 10
    assert kept_mib("keep_freed_memory()") > 90


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", absent)
    keep_freed_memory()
