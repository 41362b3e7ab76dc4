"""What an export finds on its way, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export.artifact import FrontierEntry, Manifest, MemoryEntry, VerificationEntry
from prunnet_export.budget import Budget, Figures
from prunnet_export.building import Build
from prunnet_export.evaluating import Reference
from prunnet_export.measuring import LatencyReport


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
        return FrontierEntry.of(self.build.candidate, self.latency, size_mb=self.build.size_mb, inside=self.inside)

    def order(self) -> tuple[str, str, float]:
        """Where it stands in the frontier."""
        candidate = self.build.candidate
        return candidate.pattern, candidate.precision, candidate.capacity


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
    def figures(self) -> Figures:
        """What is held against the budget."""
        peak_mb = None if self.memory is None else self.memory.peak_mb
        return Figures(self.latency.upper_ms, self.build.size_mb, peak_mb)

    def why_nothing_fits(self, budget: Budget) -> str:
        """What is said of the fastest candidate where nothing is inside the budget."""
        latency, memory = self.latency, self.memory
        peak = "" if memory is None else f", {memory.peak_mb:.3g} MiB"
        figures = f"up to {latency.upper_ms:.3g} ms, {self.build.size_mb:.3g} MB{peak}"
        how = "measured" if latency.source == "measured" else f"({latency.source})"
        fastest = f"the fastest {how} is {self.build.candidate}, p{budget.percentile:g} {figures}"
        return f"no capacity fits {budget}; {fastest}"


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
