"""The peers, and the terms on which they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export.benchmarks.methods import Settings
from prunnet_export.devices import Device
from prunnet_export.target import Target

OURS = "channel"
DENSE_ALONE = "magnitude"
"""The peer whose dense network was trained alone. It is the network that is only quantised, too."""
PEERS = (OURS, DENSE_ALONE, "independent", "switchable", "aml")
"""Names of training methods."""


@dataclass(frozen=True)
class Terms:
    """What all peers have in common.

    Attributes:
        settings: The settings of the trainings.
        seeds: The seeds.
        targets: The targets; each gives a runtime, its options and its precisions.
        device: The device that measures and embeds.
        threads: Threads of the runtime; None leaves them to it.
        samples: Timed inferences of a file in each run.
        folder: The folder of everything that is made.
    """

    settings: Settings
    seeds: Sequence[int]
    targets: Sequence[Target]
    device: Device
    threads: int | None
    samples: int
    folder: Path


def has_own_dense(method: str) -> bool:
    """Whether a method trains a dense network of its own; the others share the one that was trained alone."""
    return method in {OURS, DENSE_ALONE, "switchable"}
