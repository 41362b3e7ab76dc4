"""What a target is to this package: a device, its runtime, and what they profit from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prunnet_export._errors import UnknownName
from prunnet_export._imports import plugin, plugin_names


@dataclass(frozen=True)
class Limits:
    """What a device can do at most, for predictions where it is not here.

    Attributes:
        tera_macs: 10^12 dense multiply-adds per second, by precision: half of what data sheets call TOPS or TFLOPS,
            and a quarter of those that count zeros of 2:4.
        memory_gb_s: 10^9 bytes per second.
        efficiency: Share of the peak that convolutions of one image reach.
        layer_us: Microseconds to start a layer.
        source: Where the figures come from.
    """

    tera_macs: Mapping[str, float]
    memory_gb_s: float
    efficiency: float
    layer_us: float
    source: str


@dataclass(frozen=True)
class Target:
    """A hardware profile.

    Attributes:
        name: What ``--target`` takes, and the entry point's name.
        device: The hardware, for people.
        runtime: Name of the runtime that drives it.
        patterns: Patterns that this device and runtime turn into speed, the most useful first.
        precisions: Precisions that are worth trying there, the most exact first.
        channel_multiple: Kept widths are multiples of this.
        source: Where these facts come from.
        aliases: Other names for the same target.
        machines: What ``platform.machine()`` says on such a device; empty where any will do.
        options: What the runtime compiles for, in its own words.
        has_python: Whether this package can run there, to measure and to finish an artifact.
        limits: For predictions where the device is not here; None where nobody knows them.
    """

    name: str
    device: str
    runtime: str
    patterns: tuple[str, ...]
    precisions: tuple[str, ...]
    channel_multiple: int
    source: str
    aliases: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    has_python: bool = True
    limits: Limits | None = None

    def unlike(self, machine: str) -> str | None:
        """Why a latency of such a machine would not be one of the target's; None where it would.

        Args:
            machine: What ``platform.machine()`` says there.
        """
        if not self.machines or machine in self.machines:
            return None
        return f"the target is {self.device} ({', '.join(self.machines)}), and this machine is {machine}"


def find_target(name: str) -> Target:
    """The target called ``name``, or that has it as an alias.

    Raises:
        UnknownName: there is none.
    """
    names = plugin_names("targets")
    if name not in names:
        for other in names:
            target: Target = plugin("targets", "target", other)
            if name in target.aliases:
                return target
        raise UnknownName("target", name, names)
    found: Target = plugin("targets", "target", name)
    return found
