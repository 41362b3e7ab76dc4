"""Ladders: the candidates that could be built, in the order of their capacities."""

from __future__ import annotations

from collections.abc import Sequence

from prunnet_export.building import Candidate
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Channel, Pattern

# Fine enough to fill a budget well. Equal widths are merged.
CAPACITIES = tuple(round(0.025 * step, 3) for step in range(1, 41))
# A network with ranks keeps its early layers wide, so it is as fast only at a smaller capacity.
_SMALLEST = (0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02)


def ladder(
    network: PrunableNetwork, pattern: Pattern, precision: str, *, capacities: Sequence[float] | None = None
) -> list[Candidate]:
    """The candidates of one (pattern, precision), smallest first. Each keeps more weights than the one before.

    Capacities that the pattern cannot reach are left out. A pattern with one fixed share has that capacity and 1.

    Args:
        network: The network to cut.
        pattern: The shape of the zeros.
        precision: Name of the precision.
        capacities: Capacities to try, ascending; None takes :data:`CAPACITIES`, and smaller ones too for channel cuts
            of a network that has :meth:`~PrunableNetwork.unit_ranks`.

    Raises:
        UnsupportedPattern: the network cannot be cut in this pattern.
    """
    if capacities is None:
        uses_ranks = network.unit_ranks() and pattern.name.startswith(Channel.name)
        capacities = (*_SMALLEST, *CAPACITIES) if uses_ranks else CAPACITIES
    found: list[Candidate] = []
    for subnetwork in pattern.subnetworks(network, pattern.reachable(network, capacities)):
        if not found or subnetwork.kept > found[-1].subnetwork.kept:
            found.append(Candidate(subnetwork, precision))
    return found
