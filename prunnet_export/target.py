"""Targets: a device, its runtime, and the patterns and precisions that they profit from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from prunnet_export._errors import UnknownName, UsageError
from prunnet_export._imports import plugin, plugin_names


@dataclass(frozen=True)
class Limits:
    """The peak speed of a device, for predictions without the device.

    Attributes:
        tera_macs: 10^12 dense multiply-adds per second, by precision. This is half of the TOPS or TFLOPS of data
            sheets, and a quarter of those that count the zeros of 2:4.
        memory_gb_s: Memory bandwidth, 10^9 bytes per second.
        efficiency: Share of the peak that convolutions of one image reach.
        layer_us: Microseconds to start a layer.
        source: Source of these figures.
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
        name: Its name in ``--target``; also the entry point's name.
        device: The hardware, for people.
        runtime: Name of its runtime.
        patterns: Patterns that make a model faster there, the most useful first.
        precisions: Precisions that are worth trying there, the most exact first.
        channel_multiple: Kept widths are multiples of this.
        source: Source of these facts.
        aliases: Other names of the same target.
        machines: Values of ``platform.machine()`` on such a device; empty if every machine is suitable.
        options: Compile options for the runtime, in the runtime's own terms.
        has_python: Whether this package can run there, to measure and to finish an artifact.
        limits: Peak speed, for predictions; None if it is not known.
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
        """Why a latency measured on such a machine (``platform.machine()``) is not valid for the target, or None."""
        if not self.machines or machine in self.machines:
            return None
        return f"the target is {self.device} ({', '.join(self.machines)}), and this machine is {machine}"


def find_target(name: str) -> Target:
    """The target with this name or alias.

    Raises:
        UnknownName: there is no such target.
        UsageError: the package that brings it is broken.
    """
    names = plugin_names("targets")
    if name not in names:
        for other in names:
            with suppress(UsageError):  # one that is broken is no reason to refuse another one
                target: Target = plugin("targets", "target", other, expected=Target)
                if name in target.aliases:
                    return target
        raise UnknownName("target", name, names)
    found: Target = plugin("targets", "target", name, expected=Target)
    return found
