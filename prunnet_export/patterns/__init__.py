"""Patterns: the shapes that zeros take, and cutting them."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export.patterns._base import Pattern, Subnetwork, check_capacity
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
    "check_capacity",
    "find_pattern",
    "materialise",
]


def find_pattern(name: str, channel_multiple: int = 8) -> Pattern:
    """The pattern called ``name``, which may be any n:m with 0 < n < m <= 16.

    Args:
        name: As ``--pattern`` takes it.
        channel_multiple: Kept widths are multiples of this, where the pattern changes widths.

    Raises:
        UnknownName: there is none.
    """
    patterns = (Block(), Channel(channel_multiple), ChannelNM(2, 4, channel_multiple), Unstructured())
    found = next((pattern for pattern in patterns if pattern.name == name), None) or NM.named(name)
    if found is None:
        raise UnknownName("pattern", name, PATTERNS)
    return found
