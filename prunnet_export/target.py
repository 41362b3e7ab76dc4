"""What a target is to this package: a device, its runtime, and what they profit from."""

from __future__ import annotations

from dataclasses import dataclass

from prunnet_export._errors import UnknownName
from prunnet_export._imports import plugin, plugin_names


@dataclass(frozen=True)
class Target:
    """A hardware profile.

    Attributes:
        name: What ``--target`` takes, and the entry point's name.
        device: The hardware, for people.
        runtime: Name of the runtime that drives it.
        patterns: Patterns that this device and runtime turn into speed, the most useful first.
        precisions: Precisions that are worth trying there.
        channel_multiple: Kept widths are multiples of this.
        source: Where these facts come from.
        aliases: Other names for the same target.
    """

    name: str
    device: str
    runtime: str
    patterns: tuple[str, ...]
    precisions: tuple[str, ...]
    channel_multiple: int
    source: str
    aliases: tuple[str, ...] = ()


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
