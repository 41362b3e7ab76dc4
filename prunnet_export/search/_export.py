"""The export: search the budget, build the best candidate, measure it, verify it, write the artifact."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from prunnet_export._errors import UnsupportedPrecision
from prunnet_export._numbers import significant
from prunnet_export._text import first_of
from prunnet_export.artifact import (
    REFERENCE_FILE,
    AlternativeEntry,
    ArtifactWriter,
    QueryImages,
    RuntimeEntry,
    VerificationEntry,
)
from prunnet_export.building import Build, Candidate
from prunnet_export.evaluating import Evidence, Reference, Verifier, save_golden, save_reference
from prunnet_export.measuring import LatencyReport
from prunnet_export.network_config import below_trained
from prunnet_export.patterns import find_pattern
from prunnet_export.runtimes import find_runtime
from prunnet_export.search._alternatives import alternatives_to, save_alternative
from prunnet_export.search._budget_search import BudgetSearch
from prunnet_export.search._choices import Choices
from prunnet_export.search._ladder import ladder
from prunnet_export.search._manifest import compose_manifest
from prunnet_export.search._outcome import Attempt, Measured, Outcome
from prunnet_export.target import Target
from prunnet_export.thresholds import Thresholds

Select = Literal["capacity", "accuracy"]

_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Export(BudgetSearch):
    """One export: a budget search whose best candidate is verified and written.

    Attributes:
        network_name: Name of the network in the manifest.
        target: The hardware profile.
        evidence: The network and the images.
        thresholds: Thresholds of the verification gates.
        query_images: The form in which the artifact holds the query images.
        select: ``capacity`` takes the largest candidate that fits, ``accuracy`` the most accurate one that fits.
        by_twin: Whether twins are verified, because the runtime cannot run on the device.
        match_threshold: The similarity at which the teacher's service accepts a match; None takes usual rates.
    """

    network_name: str
    target: Target
    evidence: Evidence
    thresholds: Thresholds = field(default_factory=Thresholds)
    query_images: QueryImages = "files"
    select: Select = "capacity"
    by_twin: bool = False
    match_threshold: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._warned: set[str] = set()
        self._verifications: dict[Candidate, tuple[VerificationEntry, Reference]] = {}
        self._verifier = Verifier(
            evidence=self.evidence,
            runtime=self.runtime,
            device=self.device,
            thresholds=self.thresholds,
            threads=self.threads,
            by_twin=self.by_twin,
            match_threshold=self.match_threshold,
        )

    def run(self, destination: Path) -> Outcome:
        """Search, build, measure, verify and write.

        Returns:
            The outcome; its manifest says whether the artifact was verified or rejected.

        Raises:
            StorageError: the destination cannot be written.
            UsageError: memory is limited, but cannot be measured before the engine is built on the device.
            PrunnetError: a candidate cannot be built, measured or verified.
        """
        with ArtifactWriter(destination) as writer:
            _ = self._verifier.side  # bad images and a bad gallery are found before the search, which takes minutes
            if self.match_threshold is not None and self._verifier.no_threshold is not None:
                _LOG.warning("%s", self._verifier.no_threshold)
            fitting = self._search()
            return self._choose(writer, fitting) if fitting else self._reject_all(writer)

    def _choose(self, writer: ArtifactWriter, fitting: Mapping[Candidate, Measured]) -> Outcome:
        """Confirm and verify the best candidates, one after the other, until one passes."""
        choices = self._choices(fitting)
        refused: Attempt | None = None
        unverified: UnsupportedPrecision | None = None
        while (candidate := choices.best()) is not None:
            try:
                attempt = self._attempt(candidate)
            except UnsupportedPrecision as error:  # a prediction works, but this machine lacks the precision
                _LOG.info("%s cannot be verified: %s", candidate, error.message)
                choices.drop(candidate)
                unverified = error
                continue
            if not attempt.reasons:
                return self._finish(writer, attempt)
            if attempt.verification is None and self.budget.exceeded(attempt.figures):
                choices.step_down(candidate)
            else:
                choices.drop(candidate)
            # A rejected artifact shows the best candidate that failed its verification, else the last one tried.
            if refused is None or refused.verification is None:
                refused = attempt
            if choices.best() is not None:
                _LOG.info("%s is not taken: %s", candidate, attempt.reasons[0])
        if refused is None:
            assert unverified is not None  # noqa: S101  # some candidates fitted, and each attempt raised
            raise unverified
        return self._finish(writer, refused)

    def _choices(self, fitting: Mapping[Candidate, Measured]) -> Choices:
        if self.select == "accuracy":
            scores = self._accuracies(fitting)
            return Choices([[candidate] for candidate in scores], lambda candidate: -scores[candidate])
        ladders = []
        for rungs in self.candidates().values():
            # Every rung up to the largest that fits may have to be tried, even if the search did not measure it.
            last = max((index for index, rung in enumerate(rungs) if rung in fitting), default=-1)
            ladders.append(rungs[: last + 1])

        def rank(candidate: Candidate) -> tuple[float, int, float]:
            measured = fitting.get(candidate)
            upper = float("inf") if measured is None else measured.latency.upper_ms
            return -candidate.capacity, self.precisions.index(candidate.precision), upper

        return Choices(ladders, rank)

    def _accuracies(self, fitting: Collection[Candidate]) -> dict[Candidate, float]:
        """The accuracy of each candidate that can be verified here."""
        for candidate in fitting:  # before any work: to verify them all takes minutes
            self._warn_below_trained(candidate)
        scores: dict[Candidate, float] = {}
        unverified: UnsupportedPrecision | None = None
        for candidate in fitting:
            _LOG.info("measuring the accuracy of %s", candidate)
            try:
                scores[candidate] = self._accuracy(candidate)
            except UnsupportedPrecision as error:  # a prediction works, but this machine lacks the precision
                _LOG.info("%s cannot be verified: %s", candidate, error.message)
                unverified = error
        if unverified is not None and not scores:
            raise unverified
        return scores

    def _accuracy(self, candidate: Candidate) -> float:
        entry, _ = self._verify(self.builder.build(candidate, re_estimated=True))
        if entry.cross_r1 is not None:
            return entry.cross_r1
        overlap = entry.gate("neighbour overlap")
        return -1.0 if overlap is None else overlap.value  # the gate is missing if embeddings are not finite

    def _attempt(self, candidate: Candidate) -> Attempt:
        """Build a candidate with statistics of its own, measure it longer, and verify it if it fits."""
        self._warn_below_trained(candidate)
        _LOG.info("building %s with its own BatchNorm statistics", candidate)
        build = self.builder.build(candidate, re_estimated=True)
        latency, dense = self._confirm(build)
        attempt = Attempt(build, latency, dense, self._timing().memory(build), [])
        reasons = self.budget.exceeded(attempt.figures) or self._not_faster(build)
        return replace(attempt, reasons=reasons) if reasons else self._verified(attempt)

    def _not_faster(self, build: Build) -> list[str]:
        """Why INT8 is not worth it: the most exact precision is searched too, and as fast at this capacity."""
        candidate, exact = build.candidate, self.precisions[0]
        quantised = self.runtime.precision(candidate.precision).needs_images
        if not quantised or candidate.precision == exact or self.select == "accuracy":
            return []
        other = self.builder.build(replace(candidate, precision=exact), re_estimated=True)
        if self.budget.size_mb is not None and other.size_mb > self.budget.size_mb:
            return []
        own, theirs = self._measure([build, other], runs=3, samples=60, seconds=5)
        if own.p50_ms < theirs.p50_ms:
            return []
        kept = len(build.float_layers.kept)
        because = f", with {kept} layers in float" if kept else ""
        times = f"p50 {significant(own.p50_ms)} and {significant(theirs.p50_ms)} ms"
        return [f"{candidate} is not faster than {exact} of the same capacity{because} ({times})"]

    def _warn_below_trained(self, candidate: Candidate) -> None:
        """Warn once for each pattern."""
        smallest = self.checkpoint.config.smallest_trained(candidate.pattern)
        warning = below_trained(candidate, candidate.capacity, smallest)
        if warning is not None and candidate.pattern not in self._warned:
            self._warned.add(candidate.pattern)
            _LOG.warning("%s", warning)

    def _verified(self, attempt: Attempt) -> Attempt:
        """The attempt with its verification; failed gates are added to the reasons."""
        verification, reference = self._verify(attempt.build)
        verification = msgspec.structs.replace(verification, query_images=self.query_images)
        reasons = [*attempt.reasons, *verification.failures()]
        if reasons and (harmful := attempt.build.float_layers.harmful):
            reasons.append(f"layers that lose most in INT8: {first_of(harmful, 5)}")
        return replace(attempt, reasons=reasons, verification=verification, reference=reference)

    def _verify(self, build: Build) -> tuple[VerificationEntry, Reference]:
        """The verification of a build, made once per candidate: it is needed twice if accuracy selects."""
        candidate = build.candidate
        if candidate not in self._verifications:
            _LOG.info("verifying %s against the gallery", candidate)
            module = self.builder.module(candidate, re_estimated=True)
            self._verifications[candidate] = self._verifier.verify(build, module)
        return self._verifications[candidate]

    def _confirm(self, build: Build) -> tuple[LatencyReport, LatencyReport]:
        """A longer measurement, together with the dense network in the most exact precision."""
        pattern = find_pattern(build.candidate.pattern, self.channel_multiple)
        [top] = ladder(self.checkpoint.network, pattern, self.precisions[0], capacities=[1.0])
        dense = self.builder.build(top, re_estimated=False)
        latency, dense_latency = self._measure([build, dense], runs=5, samples=100, seconds=20)
        return latency, dense_latency

    def _reject_all(self, writer: ArtifactWriter) -> Outcome:
        """Write the fastest measured candidate as rejected, because no candidate fits."""
        fastest = min(self._measured.values(), key=lambda m: m.latency.upper_ms).build.candidate
        attempt = self._attempt(fastest)
        if attempt.verification is not None:  # it fits in the longer measurement
            return self._finish(writer, attempt)
        reason = attempt.why_nothing_fits(self.budget)
        would_fit = self.budget.options_that_fit(attempt.figures)
        hint = f"{fastest} would fit {would_fit}" if would_fit else "ask for a larger budget"
        return self._finish(writer, replace(attempt, reasons=[reason]), hint=hint)

    def _finish(self, writer: ArtifactWriter, attempt: Attempt, *, hint: str = "") -> Outcome:
        """Write the artifact of an attempt."""
        if attempt.verification is None:
            attempt = self._verified(attempt)
        reference = attempt.reference
        assert reference is not None  # noqa: S101  # _verified() sets it
        attempt.build.copy_to(writer.folder)
        alternatives, references = self._alternatives(writer, attempt)
        self._save_reference(reference, references, writer.folder / REFERENCE_FILE)
        twin_runtime = find_runtime(self._verifier.tested(attempt.build).model.runtime) if self.by_twin else None
        verified_by = RuntimeEntry(name=twin_runtime.name, version=twin_runtime.version()) if twin_runtime else None
        manifest = compose_manifest(
            attempt,
            target=self.target,
            runtime=self.runtime,
            config=self.checkpoint.config,
            network_name=self.network_name,
            channel_multiple=self.channel_multiple,
            budget=self.budget,
            verified_by=verified_by,
            frontier=[measured.entry() for measured in sorted(self._measured.values(), key=Measured.order)],
            alternatives=alternatives,
            device=self._timing().fingerprint(),
            golden=save_golden(writer.folder, self._verifier.tested(attempt.build), self.evidence.preprocessing),
        )
        return Outcome(writer.finish(manifest), manifest, hint, self._verifier.no_threshold)

    def _save_reference(self, reference: Reference, others: Iterable[Reference], file: Path) -> None:
        """Write what the artifact is verified again with, and no more of the images than was asked for."""
        if self.query_images == "none":
            return
        whole = self._verifier.side.with_rows_of(reference, others)
        save_reference(
            whole.without_files(self.evidence.preprocessing) if self.query_images == "pixels" else whole, file
        )

    def _alternatives(self, writer: ArtifactWriter, chosen: Attempt) -> tuple[list[AlternativeEntry], list[Reference]]:
        """Build and save candidates of other capacities, for a device that will measure what was predicted."""
        found: list[AlternativeEntry] = []
        references: list[Reference] = []
        if chosen.reasons or self.predictor is None or not self.target.has_python:
            return found, references
        candidate = chosen.build.candidate
        rungs = self.candidates()[candidate.pattern, candidate.precision]
        for index, other in enumerate(alternatives_to(candidate, rungs)):
            _LOG.info("building %s as an alternative for the device", other)
            build = self.builder.build(other, re_estimated=True)
            [latency] = self._measure([build], runs=0, samples=0, seconds=0)
            attempt = self._verified(Attempt(build, latency, latency, None, []))
            if not attempt.reasons and attempt.reference is not None:
                entry = save_alternative(
                    attempt, writer.folder, str(index), self.checkpoint.config, channel_multiple=self.channel_multiple
                )
                found.append(entry)
                references.append(attempt.reference)
        return found, references
