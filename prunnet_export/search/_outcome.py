"""The results of an export: of each measured candidate, of each attempt, and of the whole export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._numbers import significant
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
        latency: Its latency, measured or predicted.
        inside: Whether it is inside the budget.
    """

    build: Build
    latency: LatencyReport
    inside: bool

    def entry(self) -> FrontierEntry:
        """Its row of the manifest's frontier."""
        return FrontierEntry.of(self.build.candidate, self.latency, size_mb=self.build.size_mb, inside=self.inside)

    def order(self) -> tuple[str, str, float]:
        """Sort key of the frontier."""
        candidate = self.build.candidate
        return candidate.pattern, candidate.precision, candidate.capacity


@dataclass(frozen=True)
class Attempt:
    """A candidate that was measured longer and, if it fits, verified.

    Attributes:
        build: The compiled candidate, with BatchNorm statistics of its own.
        latency: Latency of the longer measurement.
        dense: Latency of the dense network in the same measurement.
        memory: Peak memory; None if it is not known.
        reasons: The reasons why it is not chosen; empty if it passes.
        verification: Its verification; None if it was not verified.
        reference: The reference of the verification.
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
        """The figures that the budget limits."""
        peak_mb = None if self.memory is None else self.memory.peak_mb
        return Figures(self.latency.limited_ms, self.build.size_mb, peak_mb)

    def why_nothing_fits(self, budget: Budget) -> str:
        """The reason of a rejection if no candidate fits; this attempt is the fastest candidate."""
        latency, memory = self.latency, self.memory
        peak = "" if memory is None else f", {significant(memory.peak_mb)} MiB"
        figures = f"up to {significant(latency.upper_ms)} ms, {significant(self.build.size_mb)} MB{peak}"
        how = "measured" if latency.source == "measured" else f"({latency.source})"
        fastest = f"the fastest {how} is {self.build.candidate}, p{budget.percentile:g} {figures}"
        return f"no capacity fits {budget}; {fastest}"


@dataclass(frozen=True)
class Outcome:
    """The result of an export.

    Attributes:
        folder: Folder of the artifact, verified or rejected.
        manifest: Manifest of the artifact.
        hint: Options that would fit, if no candidate is inside the budget.
        no_threshold: Why there are no thresholds of a match; None if there are some.
    """

    folder: Path
    manifest: Manifest
    hint: str = ""
    no_threshold: str | None = None
