"""Patterns: the shapes that zeros take, and cutting them."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._cut import cut, materialise
from prunnet_export.patterns.channel import Channel
from prunnet_export.patterns.unstructured import Unstructured

PATTERNS: dict[str, type[Pattern]] = {pattern.name: pattern for pattern in (Channel, Unstructured)}

__all__ = ["PATTERNS", "Pattern", "Subnetwork", "check_capacity", "cut", "find_pattern", "materialise"]


def find_pattern(name: str) -> Pattern:
    """The pattern called ``name``.

    Raises:
        UnknownName: there is none.
    """
    if name not in PATTERNS:
        raise UnknownName("pattern", name, PATTERNS)
    return PATTERNS[name]()
