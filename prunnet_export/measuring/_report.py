"""A latency with everything that makes it a measurement: percentile, n, runs, bound, engine, device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export._numbers import significant
from prunnet_export.measuring._statistics import (
    check_confidence,
    coefficient_of_variation,
    percentile,
    percentile_upper_bound,
    prediction_bound,
    samples_needed,
)

Source = Literal["measured", "calibrated", "predicted"]
Milliseconds = Annotated[float, msgspec.Meta(gt=0)]

UNSTEADY = 0.025
"""A coefficient of variation beyond which the clocks are worth a look."""


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latency of one model on one device.

    Attributes:
        source: Where the numbers come from; the three are never mixed.
        p50_ms: Median.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        mean_ms: Mean.
        cv: Coefficient of variation of all samples.
        n: Samples, over all runs; 0 where nothing was measured.
        runs: Fresh processes; 0 as well.
        percentile: The percentile that was asked for.
        percentile_ms: Its value.
        upper_ms: What that percentile stays under, in this measurement and in the next run.
        confidence: Of ``upper_ms``; None where that bound is no statistic.
        threads: Intra-operator threads; None where the engine chose.
        batch: Images per inference.
        runtime: The engine.
        runtime_version: Its version.
        scope: ``compute`` is the engine alone: no decoding, no preprocessing.
        device: The device's fingerprint; empty where nothing was measured.
        basis: What a figure that was not measured rests on.
    """

    source: Source
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds
    mean_ms: Milliseconds
    cv: Annotated[float, msgspec.Meta(ge=0)]
    n: Annotated[int, msgspec.Meta(ge=0)]
    runs: Annotated[int, msgspec.Meta(ge=0)]
    percentile: Annotated[float, msgspec.Meta(gt=0, lt=100)]
    percentile_ms: Milliseconds
    upper_ms: Milliseconds
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    threads: Annotated[int, msgspec.Meta(ge=1)] | None
    batch: Literal[1] = 1
    runtime: str
    runtime_version: str
    scope: Literal["compute"] = "compute"
    device: str
    basis: str = ""

    @property
    def steady(self) -> bool:
        """The coefficient of variation is small enough for the clocks not to be suspect."""
        return self.cv <= UNSTEADY

    def terms(self) -> str:
        """How the numbers came about, on one line."""
        if self.source != "measured":
            return f"{self.source}, {self.basis}, {self.runtime}, batch 1"
        threads = "the engine's own threads" if self.threads is None else f"{self.threads} threads"
        threads = threads.replace("1 threads", "1 thread") if self.threads == 1 else threads
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"{self.source}, n {self.n} in {runs}, {self.runtime} {self.runtime_version}, {threads}, batch 1"

    def bound(self) -> str:
        """The upper bound, and what makes it one."""
        upper = f"{significant(self.upper_ms)} ms"
        return f"{upper} {self._room()}" if self.confidence is None else f"{upper} at {self.confidence:.0%} confidence"

    def _room(self) -> str:
        return "with room" if self.upper_ms > self.percentile_ms else "without room"

    def __str__(self) -> str:
        value = significant(self.percentile_ms)
        how = self._room() if self.confidence is None else f"at {self.confidence:.0%} confidence"
        return f"p{self.percentile:g} {value} ms ({how} <= {significant(self.upper_ms)} ms; {self.terms()})"


def summarise(
    samples: Sequence[Sequence[float]],
    *,
    percentile_asked: float,
    confidence: float = 0.95,
    threads: int | None,
    runtime: str,
    runtime_version: str,
    device: str,
    source: Source = "measured",
) -> LatencyReport:
    """A report on samples from one or more independent runs.

    ``upper_ms`` is the larger of two bounds: the distribution-free one on the percentile of all samples, and,
    from two runs on, the prediction bound on the percentile of one more run.

    Args:
        samples: Milliseconds, one list per run.
        percentile_asked: In per cent.
        confidence: 0.90, 0.95 or 0.99.
        threads: What the engine was given.
        runtime: The engine.
        runtime_version: Its version.
        device: The device's fingerprint.
        source: Where the samples come from.

    Raises:
        InvalidInput: an empty run, a time that is not positive and finite, or too few samples for the bound.
    """
    check_confidence(confidence)
    pooled = [sample for run in samples for sample in run]
    if not pooled or not all(samples):
        raise InvalidInput("a run without samples", hint="take one or more samples in every run")
    if not all(math.isfinite(sample) and sample > 0 for sample in pooled):
        raise InvalidInput("a latency that is not positive and finite", hint="the device's clock is not to be trusted")
    within = percentile_upper_bound(pooled, percentile_asked, confidence=confidence)
    if within is None:
        raise InvalidInput(
            f"{len(pooled)} samples do not bound p{percentile_asked:g} at {confidence:.0%} confidence",
            hint=f"take {samples_needed(percentile_asked, confidence=confidence)} or more",
        )
    between = prediction_bound([percentile(run, percentile_asked) for run in samples], confidence=confidence)
    return LatencyReport(
        source=source,
        p50_ms=percentile(pooled, 50),
        p90_ms=percentile(pooled, 90),
        p99_ms=percentile(pooled, 99),
        mean_ms=math.fsum(pooled) / len(pooled),
        cv=coefficient_of_variation(pooled),
        n=len(pooled),
        runs=len(samples),
        percentile=percentile_asked,
        percentile_ms=percentile(pooled, percentile_asked),
        upper_ms=within if between is None else max(within, between),
        confidence=confidence,
        threads=threads,
        runtime=runtime,
        runtime_version=runtime_version,
        device=device,
    )
