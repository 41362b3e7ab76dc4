"""Alternatives: other candidates in a predicted artifact, so that the device can measure and choose again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunnet_export.artifact import ALTERNATIVES, AlternativeEntry
from prunnet_export.building import Candidate
from prunnet_export.network_config import NetworkConfig
from prunnet_export.search._manifest import subnetwork_entry
from prunnet_export.search._outcome import Attempt

EMBEDDINGS = "embeddings.npy"

# Shares of the chosen capacity. A roofline prediction is often wrong by a factor of two, and more often too low.
_SHARES = (1.5, 0.7, 0.4)


def alternatives_to(chosen: Candidate, rungs: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of a ladder closest to some shares of the chosen capacity, largest first, without the chosen."""
    found: list[Candidate] = []
    for share in _SHARES:
        nearest = min(rungs, key=lambda rung: abs(rung.capacity - share * chosen.capacity))
        if nearest != chosen and nearest not in found:
            found.append(nearest)
    return found


def save_alternative(
    attempt: Attempt, folder: Path, name: str, config: NetworkConfig, *, channel_multiple: int
) -> AlternativeEntry:
    """Copy a candidate into an artifact, with its torch embeddings. The artifact has the rest of its reference.

    Args:
        attempt: The candidate, verified on the host, with a predicted latency.
        folder: Folder of the artifact.
        name: Name of the alternative's folder in the artifact.
        config: The configuration of its network.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        OSError: the disk is full.
        ValueError: the attempt was not verified.
    """
    build, verification, reference = attempt.build, attempt.verification, attempt.reference
    if verification is None or reference is None:
        raise ValueError("an alternative has to be verified")
    home = f"{ALTERNATIVES}/{name}"
    build.copy_to(folder / home)
    np.save(folder / home / EMBEDDINGS, reference.subnetwork_queries, allow_pickle=False)
    return AlternativeEntry(
        entry=f"{home}/{build.names[0]}",
        reference=f"{home}/{EMBEDDINGS}",
        subnetwork=subnetwork_entry(build, config, channel_multiple=channel_multiple),
        latency=attempt.latency,
        size_mb=build.size_mb,
        verification=verification,
    )
