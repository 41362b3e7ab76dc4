"""Ladders of candidates: what could be deployed, before it is built."""

from __future__ import annotations

from collections.abc import Sequence

from prunnet_export.building import Candidate
from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Pattern

# Finer than the steps that widths in multiples of 8 make on common backbones; equal widths are merged.
CAPACITIES = tuple(round(0.025 * step, 3) for step in range(1, 41))


def ladder(
    network: PrunableNetwork, pattern: Pattern, precision: str, *, capacities: Sequence[float] = CAPACITIES
) -> list[Candidate]:
    """The candidates of one (pattern, precision), smallest first, each different from the one before.

    Capacities that the pattern cannot reach are left out; a pattern of one fixed share has that one and 1.

    Args:
        network: What is cut.
        pattern: The shape of the zeros.
        precision: What the runtime executes in.
        capacities: What to try, rising.

    Raises:
        UnsupportedPattern: the network cannot be cut like this.
    """
    found: list[Candidate] = []
    for subnetwork in pattern.subnetworks(network, pattern.reachable(network, capacities)):
        if not found or subnetwork.kept > found[-1].subnetwork.kept:
            found.append(Candidate(subnetwork, precision))
    return found
