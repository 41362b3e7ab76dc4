"""Patterns: the shapes that zeros take, and cutting them."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._cut import cut, materialise
from prunnet_export.patterns.block import Block
from prunnet_export.patterns.channel import Channel
from prunnet_export.patterns.channel_n_m import ChannelNM
from prunnet_export.patterns.n_m import NM
from prunnet_export.patterns.unstructured import Unstructured

PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern for pattern in (Block(), Channel(), ChannelNM(2, 4), NM(2, 4), Unstructured())
}

__all__ = ["PATTERNS", "Pattern", "Subnetwork", "check_capacity", "cut", "find_pattern", "materialise"]


def find_pattern(name: str) -> Pattern:
    """The pattern called ``name``, which may be any n:m with 0 < n < m <= 16.

    Raises:
        UnknownName: there is none.
    """
    found = PATTERNS.get(name) or NM.named(name)
    if found is None:
        raise UnknownName("pattern", name, PATTERNS)
    return found
