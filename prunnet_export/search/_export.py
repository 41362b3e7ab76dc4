"""The export: search the budget, build the winner, measure it, verify it, write the artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from prunnet_export._errors import Unreachable, UnsupportedPrecision, UsageError
from prunnet_export.artifact import (
    AlternativeEntry,
    ArtifactWriter,
    RuntimeEntry,
    VerificationEntry,
)
from prunnet_export.budget import Budget
from prunnet_export.building import Build, Builder, Candidate
from prunnet_export.devices import Device
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import Checkpoint
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import Runtime, find_runtime
from prunnet_export.search._alternatives import beside, save_alternative
from prunnet_export.search._bisect import largest_inside
from prunnet_export.search._candidates import ladder
from prunnet_export.search._choices import Choices
from prunnet_export.search._evidence import Evidence
from prunnet_export.search._judge import Judge
from prunnet_export.search._manifest_of import compose_manifest
from prunnet_export.search._outcome import Attempt, Measured, Outcome
from prunnet_export.search._timing import MeasuredTiming, PredictedTiming, Timing
from prunnet_export.target import Target
from prunnet_export.verification import REFERENCE_FILE, Reference, Thresholds, save_reference

Select = Literal["capacity", "accuracy"]


@dataclass
class Export:
    """One export.

    Attributes:
        checkpoint: The network.
        network_name: What to call it.
        target: The hardware profile.
        runtime: The target's.
        device: Where to measure and verify.
        predictor: Gives the latencies in the place of the device, where the target is not at hand.
        by_twin: The runtime cannot run on the device: what computes the same is verified instead.
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
    predictor: Predictor | None = None
    by_twin: bool = False
    say: Callable[[str], None] = lambda _line: None

    def __post_init__(self) -> None:
        self._measured: dict[Candidate, Measured] = {}
        self._verifications: dict[Candidate, tuple[VerificationEntry, Reference]] = {}
        self._judge = Judge(
            evidence=self.evidence,
            runtime=self.runtime,
            device=self.device,
            thresholds=self.thresholds,
            threads=self.threads,
            say=self.say,
            by_twin=self.by_twin,
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
            UsageError: a limit of memory, and an engine that is built later.
            PrunnetError: a candidate cannot be built, measured or verified.
        """
        with ArtifactWriter(destination) as writer:
            _ = self._judge.dense  # images that cannot be used are found before minutes of measuring
            for (pattern, precision), rungs in list(self.candidates().items()):
                self.say(f"searching {len(rungs)} {pattern} {precision} candidates for {self.budget}")
                try:
                    largest_inside(rungs, self._inside)
                except (UnsupportedPrecision, Unreachable) as error:
                    # A machine that lacks a precision, or a target of which nothing predicts it, has others.
                    del self._rungs[pattern, precision]
                    if not self._rungs or (self.predictor is None and isinstance(error, Unreachable)):
                        raise
                    self.say(f"no {pattern} {precision}: {error.message}")
            if not any(measured.inside for measured in self._measured.values()):
                return self._reject_all(writer)
            return self._choose(writer)

    def _choose(self, writer: ArtifactWriter) -> Outcome:
        """Confirm and verify the best candidates until one holds."""
        choices = self._choices()
        refused: Attempt | None = None
        unverified: UnsupportedPrecision | None = None
        while (candidate := choices.best()) is not None:
            try:
                attempt = self._attempt(candidate)
            except UnsupportedPrecision as error:  # it is verified here, and was predicted for elsewhere
                self.say(f"{candidate} cannot be verified: {error.message}")
                choices.drop(candidate)
                unverified = error
                continue
            if not attempt.reasons:
                return self._finish(writer, attempt)
            if attempt.verification is None:
                choices.step_down(candidate)
            else:
                choices.drop(candidate)
            # What a rejected artifact shows: the best one whose file does not hold, else the smallest one tried.
            if refused is None or refused.verification is None:
                refused = attempt
            if choices.best() is not None:
                self.say(f"{candidate} did not confirm: {attempt.reasons[0]}")
        if refused is None:
            assert unverified is not None  # noqa: S101  # something fitted
            raise unverified
        return self._finish(writer, refused)

    def _timing(self) -> Timing:
        if self.predictor is not None:
            return PredictedTiming(self.predictor, self.runtime)
        return MeasuredTiming(self.device, self.runtime, self.threads)

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
        if self.budget.ram_mb is None:
            return True
        memory = self._timing().memory(build)
        if memory is None:
            raise UsageError(
                f"peak memory is not known before {self.runtime.name} has built its engine",
                hint="leave out --budget-ram-mb",
            )
        return memory.peak_mb <= self.budget.ram_mb

    def _choices(self) -> Choices:
        fitting = {c: m for c, m in self._measured.items() if m.inside}
        if self.select == "accuracy":
            scores = self._accuracies(fitting)
            return Choices([[candidate] for candidate in scores], lambda candidate: -scores[candidate])
        ladders = []
        for rungs in self.candidates().values():
            # Below its largest that fits every rung of a ladder may have to be tried, measured so far or not.
            last = max((index for index, rung in enumerate(rungs) if rung in fitting), default=-1)
            ladders.append(rungs[: last + 1])

        def rank(candidate: Candidate) -> tuple[float, int, float]:
            measured = fitting.get(candidate)
            upper = float("inf") if measured is None else measured.latency.upper_ms
            return -candidate.capacity, self.precisions.index(candidate.precision), upper

        return Choices(ladders, rank)

    def _accuracies(self, fitting: Iterable[Candidate]) -> dict[Candidate, float]:
        """What each candidate finds, of those that can be verified here."""
        scores: dict[Candidate, float] = {}
        unverified: UnsupportedPrecision | None = None
        for candidate in fitting:
            self.say(f"looking at what {candidate} finds")
            try:
                scores[candidate] = self._accuracy(candidate)
            except UnsupportedPrecision as error:  # it was predicted for elsewhere
                self.say(f"{candidate} cannot be verified: {error.message}")
                unverified = error
        if unverified is not None and not scores:
            raise unverified
        return scores

    def _accuracy(self, candidate: Candidate) -> float:
        entry, _ = self._verify(self.builder.build(candidate, re_estimated=True))
        # Embeddings that are not finite have none.
        overlap = next((gate.value for gate in entry.gates if gate.name == "neighbour overlap"), -1.0)
        return overlap if entry.cross_r1 is None else entry.cross_r1

    # -- the winner ----------------------------------------------------------------------------------------

    def _attempt(self, candidate: Candidate) -> Attempt:
        """Build a candidate with statistics of its own, look at it for longer, and verify it where it fits."""
        self.say(f"building {candidate} with its own BatchNorm statistics")
        build = self.builder.build(candidate, re_estimated=True)
        latency, dense = self._confirm(build)
        attempt = Attempt(build, latency, dense, self._timing().memory(build), [])
        reasons = self.budget.exceeded(upper_ms=latency.upper_ms, size_mb=build.size_mb, peak_mb=attempt.peak_mb)
        return replace(attempt, reasons=reasons) if reasons else self._verified(attempt)

    def _verified(self, attempt: Attempt) -> Attempt:
        """The attempt with its verification, and the gates that failed among the reasons."""
        verification, reference = self._verify(attempt.build)
        return replace(
            attempt,
            reasons=[*attempt.reasons, *verification.failures()],
            verification=verification,
            reference=reference,
        )

    def _verify(self, build: Build) -> tuple[VerificationEntry, Reference]:
        """The verification of a build, made once: choosing by accuracy needs it before the choice is confirmed."""
        candidate = build.candidate
        if candidate not in self._verifications:
            self.say(f"verifying {candidate} against the dense gallery")
            module = self.builder.module(candidate, re_estimated=True)
            self._verifications[candidate] = self._judge.verify(build, module)
        return self._verifications[candidate]

    def _confirm(self, build: Build) -> tuple[LatencyReport, LatencyReport]:
        """A longer measurement, side by side with the dense network in the most exact precision."""
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
        return self._timing().latencies(
            builds, percentile=self.budget.percentile, runs=runs, samples=samples, seconds=seconds
        )

    def _reject_all(self, writer: ArtifactWriter) -> Outcome:
        """Nothing fits: keep the fastest candidate that was measured, and say so."""
        fastest = min(self._measured.values(), key=lambda m: m.latency.upper_ms).build.candidate
        attempt = self._attempt(fastest)
        if attempt.verification is not None:  # the longer measurement disagrees, in its favour
            return self._finish(writer, attempt)
        budget, build, latency = self.budget, attempt.build, attempt.latency
        peak = "" if attempt.peak_mb is None else f", {attempt.peak_mb:.3g} MiB"
        figures = f"up to {latency.upper_ms:.3g} ms, {build.size_mb:.3g} MB{peak}"
        how = "measured" if latency.source == "measured" else f"({latency.source})"
        reason = f"no capacity fits {budget}; the fastest {how} is {fastest}, p{budget.percentile:g} {figures}"
        would_fit = budget.options_that_fit(upper_ms=latency.upper_ms, size_mb=build.size_mb, peak_mb=attempt.peak_mb)
        hint = f"{fastest} would fit {would_fit}" if would_fit else "ask for a larger budget"
        return self._finish(writer, replace(attempt, reasons=[reason]), hint=hint)

    def _finish(self, writer: ArtifactWriter, attempt: Attempt, *, hint: str = "") -> Outcome:
        if attempt.verification is None:
            attempt = self._verified(attempt)
        build, verification, reference = attempt.build, attempt.verification, attempt.reference
        assert verification is not None  # noqa: S101  # as _verified() returns it
        assert reference is not None  # noqa: S101  # the same
        build.copy_to(writer.folder)
        save_reference(reference, writer.folder / REFERENCE_FILE)
        alternatives = [] if attempt.reasons else self._alternatives(writer, attempt)
        stand_in = find_runtime(self._judge.model(build).runtime) if self.by_twin else None
        manifest = compose_manifest(
            build,
            reasons=attempt.reasons,
            target=self.target,
            runtime=self.runtime,
            config=self.checkpoint.config,
            network_name=self.network_name,
            channel_multiple=self.channel_multiple,
            budget=self.budget,
            latency=attempt.latency,
            dense_latency=attempt.dense,
            memory=attempt.memory,
            verification=verification,
            verified_by=None if stand_in is None else RuntimeEntry(name=stand_in.name, version=stand_in.version()),
            frontier=[measured.entry() for measured in sorted(self._measured.values(), key=_capacity_of)],
            alternatives=alternatives,
            device=self._timing().fingerprint(),
        )
        folder = writer.finish(manifest)
        return Outcome(folder, manifest, hint)

    def _alternatives(self, writer: ArtifactWriter, chosen: Attempt) -> list[AlternativeEntry]:
        """Capacities around the chosen one, for a device that will measure what is only predicted here."""
        if self.predictor is None or not self.target.has_python:
            return []
        candidate = chosen.build.candidate
        found = []
        for index, other in enumerate(beside(candidate, self.candidates()[candidate.pattern, candidate.precision])):
            self.say(f"building {other}, which travels beside it")
            build = self.builder.build(other, re_estimated=True)
            [latency] = self._measure([build], runs=0, samples=0, seconds=0)
            attempt = self._verified(Attempt(build, latency, latency, None, []))
            if attempt.reasons or attempt.verification is None or attempt.reference is None:
                continue
            entry = save_alternative(
                build,
                writer.folder,
                str(index),
                latency=latency,
                verification=attempt.verification,
                reference=attempt.reference,
                channel_multiple=self.channel_multiple,
            )
            found.append(entry)
        return found


def _capacity_of(measured: Measured) -> tuple[str, str, float]:
    candidate = measured.build.candidate
    return candidate.pattern, candidate.precision, candidate.capacity
