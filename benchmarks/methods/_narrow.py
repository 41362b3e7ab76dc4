"""Narrow networks: the first units of every channel group, as many as a capacity allows."""

from __future__ import annotations

import torch

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns.channel import Channel, ChannelSubnetwork


def first_units(network: PrunableNetwork, capacity: float, *, channel_multiple: int) -> ChannelSubnetwork:
    """The channel cut of the network that keeps the first units, whatever their scores.

    Raises:
        InvalidInput: the capacity is out of range, or below the narrowest cut.
        UnsupportedPattern: no channel can be cut.
    """
    plan = Channel().plan(network)
    widths = plan.widths_for(capacity, channel_multiple)
    return ChannelSubnetwork(plan, capacity, [torch.arange(width) for width in widths])
