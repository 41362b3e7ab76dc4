"""Candidates that travel beside a predicted choice, so that the device can pick again from what it measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunnet_export.artifact import ALTERNATIVES, AlternativeEntry
from prunnet_export.building import Candidate
from prunnet_export.search._manifest import subnetwork_entry
from prunnet_export.search._outcome import Attempt

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


def save_alternative(attempt: Attempt, folder: Path, name: str, *, channel_multiple: int) -> AlternativeEntry:
    """Copy a candidate into an artifact.

    Of its reference the embeddings of the torch subnetwork alone are kept: the rest is the artifact's own.

    Args:
        attempt: Verified on the host, with what is predicted.
        folder: The artifact's.
        name: Of the alternative's folder in it.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        OSError: the disk is full.
        ValueError: the attempt was not verified.
    """
    build, verification, reference = attempt.build, attempt.verification, attempt.reference
    if verification is None or reference is None:
        raise ValueError("an attempt that was not verified does not travel")
    home = f"{ALTERNATIVES}/{name}"
    build.copy_to(folder / home)
    np.save(folder / home / EMBEDDINGS, reference.subnetwork_queries, allow_pickle=False)
    return AlternativeEntry(
        entry=f"{home}/{build.names[0]}",
        reference=f"{home}/{EMBEDDINGS}",
        subnetwork=subnetwork_entry(build.candidate, channel_multiple=channel_multiple),
        latency=attempt.latency,
        size_mb=build.size_mb,
        verification=verification,
    )
