"""Patterns: the shapes that zeros take, and how a subnetwork is cut."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export.patterns._allocation import allocate, allocate_by_cost
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
from prunnet_export.patterns._costs import multiplications
from prunnet_export.patterns._cut import materialise
from prunnet_export.patterns.block import Block
from prunnet_export.patterns.channel import Channel, ChannelSubnetwork
from prunnet_export.patterns.channel_n_m import ChannelNM
from prunnet_export.patterns.n_m import NM
from prunnet_export.patterns.unstructured import Unstructured

PATTERNS = ("block", "channel", "channel+2:4", "2:4", "unstructured")

__all__ = [
    "PATTERNS",
    "Channel",
    "ChannelSubnetwork",
    "Pattern",
    "Subnetwork",
    "allocate",
    "allocate_by_cost",
    "check_capacity",
    "find_pattern",
    "materialise",
    "multiplications",
]


def find_pattern(name: str, channel_multiple: int = 8) -> Pattern:
    """The pattern of this name.

    Args:
        name: A name as for ``--pattern``. Any n:m with 0 < n < m <= 16 is one.
        channel_multiple: Kept widths are multiples of this, for patterns that change widths.

    Raises:
        UnknownName: there is no such pattern.
    """
    patterns = (Block(), Channel(channel_multiple), ChannelNM(2, 4, channel_multiple), Unstructured())
    found = next((pattern for pattern in patterns if pattern.name == name), None) or NM.parse(name)
    if found is None:
        raise UnknownName("pattern", name, PATTERNS)
    return found
