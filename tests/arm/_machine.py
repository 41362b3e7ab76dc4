"""The Arm machine of the tests: this one, or one that QEMU emulates with ``make test-arm``."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests._distribution import build_distribution
from tests._tools import TOOLS

HERE = Path(__file__).parent
ARM = TOOLS / "arm64"
NATIVE = platform.machine() in {"aarch64", "arm64"}
HAS_ARM = NATIVE or (ARM / ".installed").is_file()

_FEATURES = "fp asimd evtstrm crc32 cpuid"
_NEWER = f"{_FEATURES} aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
CORES = {"cortex-a72": ("0xd08", _FEATURES), "cortex-a76": ("0xd0b", _NEWER), "neoverse-n1": ("0xd0c", _NEWER)}
"""The part number and the features of cores, as Linux shows them."""


@dataclass(frozen=True)
class Machine:
    """Runs commands.

    Attributes:
        shared: A folder that it sees at the same path.
        core: The core that is emulated; None for this machine.
        hidden: Whether it sees a file of that core instead of this machine's ``/proc/cpuinfo``.
    """

    shared: Path
    core: str | None
    hidden: bool = True

    def with_core(self, core: str, *, hidden: bool = True) -> Machine:
        """The same machine with another core."""
        return replace(self, core=core, hidden=hidden)

    def command(self, *words: str | Path) -> list[str]:
        """The command on this machine that runs a command there. ``python`` is the one with the package."""
        own = [str(word) for word in words]
        if self.core is None:
            own[0] = str(Path(sys.executable).with_name(own[0]))
            return own
        own[0] = f"/venv/bin/{own[0]}"
        cpuinfo = str(self._cpuinfo()) if self.hidden else ""
        return [str(HERE / "enter.sh"), str(ARM / "root"), self.core, cpuinfo, str(self.shared), *own]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=3600)

    def install(self) -> None:
        """Install the package of this tree there, if the machine is emulated."""
        if self.core is None:
            return
        _, wheel = build_distribution(self.shared / "distribution")
        done = self.run("pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel)
        assert done.returncode == 0, done.stderr

    def _cpuinfo(self) -> Path:
        """A file as the kernel of a machine with two of these cores shows it."""
        assert self.core is not None, "this machine has a file of its own"
        part, features = CORES[self.core]
        lines = (
            *("BogoMIPS\t: 108.00", f"Features\t: {features}", "CPU implementer\t: 0x41", "CPU architecture: 8"),
            *("CPU variant\t: 0x0", f"CPU part\t: {part}", "CPU revision\t: 3"),
        )
        file = self.shared / f"cpuinfo-{self.core}"
        file.write_text("".join("\n".join((f"processor\t: {index}", *lines, "", "")) for index in range(2)))
        return file
