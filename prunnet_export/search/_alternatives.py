"""Candidates that travel beside a predicted choice, so that the device can pick again from what it measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunnet_export.artifact import AlternativeEntry, VerificationEntry
from prunnet_export.building import Build, Candidate
from prunnet_export.measuring import LatencyReport
from prunnet_export.search._manifest_of import subnetwork_entry
from prunnet_export.verification import Reference

FOLDER = "alternatives"
EMBEDDINGS = "embeddings.npy"

# Of the chosen capacity: a roofline is often off by a factor of two, and more often too fast than too slow.
_SHARES = (1.5, 0.7, 0.4)


def beside(chosen: Candidate, rungs: Sequence[Candidate]) -> list[Candidate]:
    """The rungs of a ladder nearest to some shares of the chosen capacity, largest first, without the chosen one."""
    found: list[Candidate] = []
    for share in _SHARES:
        nearest = min(rungs, key=lambda rung: abs(rung.capacity - share * chosen.capacity))
        if nearest != chosen and nearest not in found:
            found.append(nearest)
    return found


def save_alternative(
    build: Build,
    folder: Path,
    name: str,
    *,
    latency: LatencyReport,
    verification: VerificationEntry,
    reference: Reference,
    channel_multiple: int,
) -> AlternativeEntry:
    """Copy a build into an artifact.

    Of its reference the embeddings of the torch subnetwork alone are kept: the rest is the artifact's own.

    Args:
        build: Verified on the host.
        folder: The artifact's.
        name: Of the alternative's folder in it.
        latency: What is predicted.
        verification: What came out on the host.
        reference: What it was verified against.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        OSError: the disk is full.
    """
    home = f"{FOLDER}/{name}"
    build.copy_to(folder / home)
    np.save(folder / home / EMBEDDINGS, reference.subnetwork_queries, allow_pickle=False)
    return AlternativeEntry(
        entry=f"{home}/{build.names[0]}",
        reference=f"{home}/{EMBEDDINGS}",
        subnetwork=subnetwork_entry(build.candidate, channel_multiple=channel_multiple),
        latency=latency,
        size_mb=build.size_mb,
        verification=verification,
    )
