"""The export: search the budget, build the winner, measure it, verify it, write the artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Literal

from prunnet_export.artifact import (
    ArtifactWriter,
    FrontierEntry,
    Manifest,
    MemoryEntry,
)
from prunnet_export.devices import Device, measure_latency, peak_memory_mb
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import Checkpoint
from prunnet_export.runtimes import Runtime
from prunnet_export.search._bisect import largest_inside
from prunnet_export.search._budget import Budget
from prunnet_export.search._builder import Build, Builder
from prunnet_export.search._candidates import Candidate, ladder
from prunnet_export.search._evidence import Evidence
from prunnet_export.search._judge import Judge
from prunnet_export.search._manifest_of import compose_manifest
from prunnet_export.target import Target
from prunnet_export.verification import REFERENCE_FILE, Thresholds, save_reference

Select = Literal["capacity", "accuracy"]


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
        )


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


@dataclass
class Export:
    """One export.

    Attributes:
        checkpoint: The network.
        network_name: What to call it.
        target: The hardware profile.
        runtime: The target's.
        device: Where to measure and verify.
        budget: What is allowed.
        evidence: The images.
        builder: Makes candidates.
        patterns: Patterns to search.
        precisions: Precisions to search.
        channel_multiple: Kept widths are multiples of this.
        thresholds: Of the verification gates.
        select: ``capacity`` takes the largest that fits, ``accuracy`` the best verified one among those that fit.
        threads: Intra-operator threads of the runtime; None leaves it to the engine.
        say: Called with one line of progress.
    """

    checkpoint: Checkpoint
    network_name: str
    target: Target
    runtime: Runtime
    device: Device
    budget: Budget
    evidence: Evidence
    builder: Builder
    patterns: Sequence[str]
    precisions: Sequence[str]
    channel_multiple: int
    thresholds: Thresholds = field(default_factory=Thresholds)
    select: Select = "capacity"
    threads: int | None = None
    say: Callable[[str], None] = lambda _line: None

    def __post_init__(self) -> None:
        self._measured: dict[Candidate, Measured] = {}
        self._judge = Judge(
            evidence=self.evidence,
            runtime=self.runtime,
            device=self.device,
            thresholds=self.thresholds,
            threads=self.threads,
            say=self.say,
        )
        self._rungs: dict[tuple[str, str], list[Candidate]] = {}

    # -- the search ----------------------------------------------------------------------------------------

    def candidates(self) -> dict[tuple[str, str], list[Candidate]]:
        """The ladder of each (pattern, precision), smallest capacity first."""
        if not self._rungs:
            network = self.checkpoint.network
            self._rungs = {
                (pattern, precision): ladder(network, pattern, precision, channel_multiple=self.channel_multiple)
                for pattern in self.patterns
                for precision in self.precisions
            }
        return self._rungs

    def run(self, destination: Path) -> Outcome:
        """Search, build, measure, verify and write.

        Returns:
            The outcome; its manifest says whether the artifact was verified or rejected.

        Raises:
            StorageError: the destination cannot be written.
            PrunnetError: a candidate cannot be built, measured or verified.
        """
        with ArtifactWriter(destination) as writer:
            _ = self._judge.dense  # images that cannot be used are found before minutes of measuring
            for (pattern, precision), rungs in self.candidates().items():
                self.say(f"searching {len(rungs)} {pattern} {precision} candidates for {self.budget}")
                largest_inside(rungs, self._inside)
            queue = self._in_order_of_choice()
            if not queue:
                return self._reject_all(writer)
            for position, candidate in enumerate(queue):
                self.say(f"building {candidate} with its own BatchNorm statistics")
                build = self.builder.build(candidate, re_estimated=True)
                latency, dense = self._confirm(build)
                reasons = self._over_budget(build, latency)
                if not reasons or position == len(queue) - 1:
                    return self._finish(writer, build, latency, dense, reasons)
                self.say(f"{candidate} did not confirm: {reasons[0]}")
        raise AssertionError("unreachable: the queue is not empty")

    def _inside(self, candidate: Candidate) -> bool:
        return self._probe(candidate).inside

    def _probe(self, candidate: Candidate) -> Measured:
        if candidate not in self._measured:
            build = self.builder.build(candidate, re_estimated=False)
            [latency] = self._measure([build], runs=3, samples=60, seconds=5)
            limit = self.budget.latency_ms
            if limit is not None and latency.p50_ms <= limit < latency.upper_ms:
                # The bound is wide where something disturbed the runs; a longer look is fairer than a verdict.
                [latency] = self._measure([build], runs=5, samples=100, seconds=10)
            fits_size = self.budget.size_mb is None or build.size_mb <= self.budget.size_mb
            fits_time = self.budget.latency_ms is None or latency.upper_ms <= self.budget.latency_ms
            inside = fits_size and fits_time and self._fits_memory(build)
            self._measured[candidate] = Measured(build, latency, inside)
            verdict = "fits" if inside else "does not fit"
            self.say(f"{candidate}: {latency.upper_ms:.3g} ms, {build.size_mb:.3g} MB, {verdict}")
        return self._measured[candidate]

    def _fits_memory(self, build: Build) -> bool:
        return self.budget.ram_mb is None or self._memory(build).peak_mb <= self.budget.ram_mb

    def _memory(self, build: Build) -> MemoryEntry:
        reply = peak_memory_mb(
            self.device,
            self.runtime.name,
            build.entry,
            precision=build.candidate.precision,
            threads=self.threads,
        )
        return MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)

    def _in_order_of_choice(self) -> list[Candidate]:
        """What to build, the first choice first; the rest is for when a longer measurement disagrees."""
        fitting = [measured for measured in self._measured.values() if measured.inside]
        if self.select == "accuracy":
            return [m.build.candidate for m in sorted(fitting, key=lambda m: -self._accuracy(m.build.candidate))]
        fitting.sort(key=lambda m: (-m.build.candidate.capacity, m.latency.upper_ms))
        if not fitting:
            return []
        # Below the first choice every rung of its ladder may have to be tried, measured so far or not.
        first = fitting[0].build.candidate
        rungs = self.candidates()[first.pattern, first.precision]
        return rungs[rungs.index(first) :: -1]

    def _accuracy(self, candidate: Candidate) -> float:
        self.say(f"verifying {candidate}")
        build = self.builder.build(candidate, re_estimated=True)
        entry, _ = self._judge.verify(build, self.builder.module(candidate, re_estimated=True))
        overlap = next(gate.value for gate in entry.gates if gate.name == "neighbour overlap")
        return overlap if entry.cross_r1 is None else entry.cross_r1

    # -- the winner ----------------------------------------------------------------------------------------

    def _confirm(self, build: Build) -> tuple[LatencyReport, LatencyReport]:
        """A longer measurement, side by side with the dense network."""
        [top] = ladder(
            self.checkpoint.network,
            build.candidate.pattern,
            self.precisions[0],
            channel_multiple=self.channel_multiple,
            capacities=[1.0],
        )
        dense = self.builder.build(top, re_estimated=False)
        latency, dense_latency = self._measure([build, dense], runs=5, samples=100, seconds=20)
        return latency, dense_latency

    def _measure(self, builds: Sequence[Build], *, runs: int, samples: int, seconds: float) -> list[LatencyReport]:
        return measure_latency(
            self.device,
            self.runtime.name,
            [build.entry for build in builds],
            precision=builds[0].candidate.precision,
            threads=self.threads,
            runs=runs,
            samples=samples,
            seconds=seconds,
            percentile=self.budget.percentile,
        )

    def _over_budget(self, build: Build, latency: LatencyReport) -> list[str]:
        reasons = []
        budget = self.budget
        if budget.latency_ms is not None and latency.upper_ms > budget.latency_ms:
            reasons.append(
                f"latency: p{budget.percentile:g} is up to {latency.upper_ms:.3g} ms, over the budget of"
                f" {budget.latency_ms:g} ms"
            )
        if budget.size_mb is not None and build.size_mb > budget.size_mb:
            reasons.append(f"size: {build.size_mb:.3g} MB, over the budget of {budget.size_mb:g} MB")
        return reasons

    def _reject_all(self, writer: ArtifactWriter) -> Outcome:
        """Nothing fits: keep the fastest candidate that was measured, and say so."""
        fastest = min(self._measured.values(), key=lambda m: m.latency.upper_ms)
        candidate = fastest.build.candidate
        build = self.builder.build(candidate, re_estimated=True)
        latency, dense = self._confirm(build)
        memory = self._memory(build)
        fits_memory = self.budget.ram_mb is None or memory.peak_mb <= self.budget.ram_mb
        if fits_memory and not self._over_budget(build, latency):  # the longer measurement disagrees, in its favour
            return self._finish(writer, build, latency, dense, [], memory=memory)
        figures = f"up to {latency.upper_ms:.3g} ms, {build.size_mb:.3g} MB, {memory.peak_mb:.3g} MiB"
        reason = f"no capacity fits {self.budget}; the fastest measured is {candidate}, p{self.budget.percentile:g} "
        would_fit = []
        if self.budget.latency_ms is not None and latency.upper_ms > self.budget.latency_ms:
            would_fit.append(f"--budget-ms {_round_up(latency.upper_ms):g}")
        if self.budget.size_mb is not None and build.size_mb > self.budget.size_mb:
            would_fit.append(f"--budget-mb {_round_up(build.size_mb):g}")
        if self.budget.ram_mb is not None and memory.peak_mb > self.budget.ram_mb:
            would_fit.append(f"--budget-ram-mb {_round_up(memory.peak_mb):g}")
        hint = f"{candidate} would fit {' '.join(would_fit)}" if would_fit else "ask for a larger budget"
        return self._finish(writer, build, latency, dense, [reason + figures], memory=memory, hint=hint)

    def _finish(
        self,
        writer: ArtifactWriter,
        build: Build,
        latency: LatencyReport,
        dense_latency: LatencyReport,
        reasons: list[str],
        *,
        memory: MemoryEntry | None = None,
        hint: str = "",
    ) -> Outcome:
        self.say(f"verifying {build.candidate} against the dense gallery")
        module = self.builder.module(build.candidate, re_estimated=True)
        verification, reference = self._judge.verify(build, module)
        memory = memory or self._memory(build)
        if self.budget.ram_mb is not None and memory.peak_mb > self.budget.ram_mb and not hint:
            reasons = [*reasons, f"memory: {memory.peak_mb:.3g} MiB, over the budget of {self.budget.ram_mb:g} MiB"]
        reasons = [
            *reasons,
            *(_why(gate.name, gate.value, gate.threshold) for gate in verification.gates if not gate.passed),
        ]
        for name in build.names:
            copyfile(build.folder / name, writer.folder / name)
        save_reference(reference, writer.folder / REFERENCE_FILE)
        manifest = compose_manifest(
            build,
            reasons=reasons,
            target=self.target,
            runtime=self.runtime,
            config=self.checkpoint.config,
            network_name=self.network_name,
            channel_multiple=self.channel_multiple,
            budget=self.budget,
            latency=latency,
            dense_latency=dense_latency,
            memory=memory,
            verification=verification,
            frontier=[measured.entry() for measured in sorted(self._measured.values(), key=_capacity_of)],
            device=self.device.fingerprint(),
        )
        folder = writer.finish(manifest)
        return Outcome(folder, manifest, hint)


def _capacity_of(measured: Measured) -> tuple[str, float]:
    return measured.build.candidate.pattern, measured.build.candidate.capacity


def _why(name: str, value: float, threshold: float | None) -> str:
    return f"{name}: {value:.4g}, the gate asks for {threshold:.4g}"


def _round_up(value: float) -> float:
    """A little more than ``value``, to two significant digits: what to ask for instead."""
    from math import ceil, floor, log10

    step = 10 ** (floor(log10(value)) - 1)
    return float(round(ceil(value * 1.02 / step) * step, 9))
