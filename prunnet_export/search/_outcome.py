"""What an export finds on its way, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export.artifact import FrontierEntry, Manifest, MemoryEntry, VerificationEntry
from prunnet_export.building import Build
from prunnet_export.measuring import LatencyReport
from prunnet_export.verification import Reference


@dataclass(frozen=True)
class Measured:
    """A candidate that the search measured.

    Attributes:
        build: The compiled candidate, without BatchNorm statistics of its own.
        latency: On the device.
        inside: The budget.
    """

    build: Build
    latency: LatencyReport
    inside: bool

    def entry(self) -> FrontierEntry:
        """The row of the manifest's frontier."""
        candidate = self.build.candidate
        return FrontierEntry(
            pattern=candidate.pattern,
            capacity=candidate.capacity,
            precision=candidate.precision,
            p50_ms=self.latency.p50_ms,
            upper_ms=self.latency.upper_ms,
            size_mb=self.build.size_mb,
            inside=self.inside,
            n=self.latency.n,
            source=self.latency.source,
        )


@dataclass(frozen=True)
class Attempt:
    """A candidate that was to be the one.

    Attributes:
        build: With BatchNorm statistics of its own.
        latency: Confirmed.
        dense: Of the dense network beside it.
        memory: Peak memory; None where it is not known.
        reasons: What keeps it from being the one.
        verification: None where it was over the budget.
        reference: What it was verified against.
    """

    build: Build
    latency: LatencyReport
    dense: LatencyReport
    memory: MemoryEntry | None
    reasons: Sequence[str]
    verification: VerificationEntry | None = None
    reference: Reference | None = None

    @property
    def peak_mb(self) -> float | None:
        """Peak memory in MiB; None where it is not known."""
        return None if self.memory is None else self.memory.peak_mb


@dataclass(frozen=True)
class Outcome:
    """What an export came to.

    Attributes:
        folder: The artifact, or the rejected one.
        manifest: What is written there.
        hint: What would fit, where the budget did not hold.
    """

    folder: Path
    manifest: Manifest
    hint: str = ""
