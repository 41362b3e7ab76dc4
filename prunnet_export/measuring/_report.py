"""A latency report: percentiles, an upper bound, number of samples and runs, engine and device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from prunnet_export.preprocessing import Size
from prunnet_export.query import Query, Scope

Source = Literal["measured", "calibrated", "predicted", "emulated"]
"""``measured``: the times of a device. ``emulated``: those of an emulator, which say nothing about the device.
``calibrated`` and ``predicted``: computed, with measurements of the target or without."""

Part = Literal["decode", "resize", "network"]
Milliseconds = Annotated[float, msgspec.Meta(gt=0)]

UNSTEADY = 0.025
"""A larger coefficient of variation suggests that the clocks were not steady."""


_AROUND = 10  # a tenth of the samples is around a percentile


class PartLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time of one part of a query. The figures of all parts add up to those of the whole.

    The percentiles of parts would not add up, because the slowest decoding and the slowest inference are rarely in one
    sample. So each percentile is that of the whole, divided as the time is in the tenth of the samples around it.

    Attributes:
        name: ``decode``: from the bytes of a JPEG file to its pixels. ``resize``: all from there to the network's
            input, with turning, converting and cropping. ``network``: the engine alone.
        p50_ms: Its part of the median of the whole.
        percentile_ms: Its part of the percentile of the budget.
        mean_ms: Its mean.
        n: Number of samples.
    """

    name: Part
    p50_ms: Milliseconds
    percentile_ms: Milliseconds
    mean_ms: Milliseconds
    n: Annotated[int, msgspec.Meta(ge=1)]


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latency of one model on one device.

    Attributes:
        source: Source of all figures. Those of an emulated machine are never held against a budget.
        p50_ms: Median.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        mean_ms: Mean.
        cv: Coefficient of variation of all samples.
        n: Number of samples in all runs; 0 if nothing was timed.
        runs: Number of runs, each in a new process; 0 if nothing was timed.
        percentile: The percentile of the budget, in per cent.
        percentile_ms: Value of that percentile.
        upper_ms: Upper bound of that percentile, in this measurement and in the next run.
        confidence: Confidence of ``upper_ms``; null if that bound is not from a statistic.
        threads: Intra-operator threads; null if the engine chose, within the CPU quota of the device.
        batch: Images per inference; all figures are of the whole batch.
        runtime: The engine.
        runtime_version: Its version.
        scope: ``compute`` is the engine alone, without decoding and preprocessing. ``end-to-end`` begins with the bytes
            of a JPEG file.
        photo_px: Size of each photograph, height first; null if the scope is ``compute``.
        parts: Where the time goes, in order; empty if the scope is ``compute``.
        device: The device's fingerprint; empty if nothing was timed.
        basis: How the figures were predicted; empty if they were timed.
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
    batch: Annotated[int, msgspec.Meta(ge=1)] = 1
    runtime: str
    runtime_version: str
    scope: Scope = "compute"
    photo_px: Size | None = None
    parts: list[PartLatency] = []
    device: str
    basis: str = ""

    @property
    def query(self) -> Query:
        """What one query is."""
        return Query(scope=self.scope, batch_size=self.batch, photo_px=self.photo_px)

    @property
    def images_per_second(self) -> float:
        """Images per second, if one batch follows the other and each takes the median."""
        return 1000 * self.batch / self.p50_ms

    @property
    def timed(self) -> bool:
        """Whether the figures are from samples of a machine, real or emulated."""
        return self.source in {"measured", "emulated"}

    @property
    def emulated(self) -> bool:
        """Whether an emulator took this time. It says nothing about the device."""
        return self.source == "emulated"

    @property
    def limited_ms(self) -> float | None:
        """The figure that a budget limits; None if it says nothing about the device, because that was emulated."""
        return None if self.emulated else self.upper_ms

    @property
    def steady(self) -> bool:
        """Whether the coefficient of variation is small enough for steady clocks."""
        return self.cv <= UNSTEADY

    def terms(self) -> str:
        """The terms of the measurement or prediction, on one line."""
        if not self.timed:
            return f"{self.source}, {self.basis}, {self.runtime}, {self.query}"
        plural = "" if self.threads == 1 else "s"
        threads = "the engine's own threads" if self.threads is None else f"{self.threads} thread{plural}"
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"{self.source}, n {self.n} in {runs}, {self.runtime} {self.runtime_version}, {threads}, {self.query}"

    def bound(self) -> str:
        """The upper bound, with its confidence or margin."""
        return f"{significant(self.upper_ms)} ms {self._certainty()}"

    def _certainty(self) -> str:
        if self.confidence is not None:
            return f"at {self.confidence:.0%} confidence"
        return "with a margin" if self.upper_ms > self.percentile_ms else "without a margin"

    def __str__(self) -> str:
        value, upper = significant(self.percentile_ms), significant(self.upper_ms)
        return f"p{self.percentile:g} {value} ms ({self._certainty()} <= {upper} ms; {self.terms()})"


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
    query: Query = Query(),  # noqa: B008  # it is frozen
    parts: Mapping[Part, Sequence[Sequence[float]]] | None = None,
) -> LatencyReport:
    """A report on samples from one or more independent runs.

    ``upper_ms`` is the larger of two bounds: the distribution-free bound of the percentile of all samples, and, if
    there are two or more runs, the prediction bound of the percentile of one more run.

    Args:
        samples: Milliseconds, one list per run.
        percentile_asked: The percentile of the budget, in per cent.
        confidence: 0.90, 0.95 or 0.99.
        threads: Number of threads that the engine was given; None if it chose.
        runtime: The engine.
        runtime_version: Its version.
        device: The device's fingerprint.
        source: Source of the samples.
        query: What each sample is of.
        parts: Milliseconds of each part of the samples, by its name; the lists have the shape of ``samples``.

    Raises:
        InvalidInput: a run is empty, a time is not positive and finite, or there are too few samples for the bound.
    """
    check_confidence(confidence)
    pooled = [sample for run in samples for sample in run]
    if not pooled or not all(samples):
        raise InvalidInput("a run without samples", hint="take one or more samples in every run")
    if not all(math.isfinite(sample) and sample > 0 for sample in pooled):
        raise InvalidInput("a latency that is not positive and finite", hint="the device's clock is wrong")
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
        batch=query.batch_size,
        scope=query.scope,
        photo_px=query.photo_px,
        parts=_part_latencies(pooled, parts or {}, percentile_asked),
    )


def _part_latencies(
    whole: Sequence[float], parts: Mapping[Part, Sequence[Sequence[float]]], percentile_asked: float
) -> list[PartLatency]:
    pooled = {name: [sample for run in runs for sample in run] for name, runs in parts.items()}
    if any(len(samples) != len(whole) for samples in pooled.values()):
        raise InvalidInput("a part without samples", hint="time each part of every sample")
    middle, asked = (_divided(whole, pooled, q) for q in (50, percentile_asked))
    return [
        PartLatency(
            name=name,
            p50_ms=middle[name],
            percentile_ms=asked[name],
            mean_ms=math.fsum(samples) / len(samples),
            n=len(samples),
        )
        for name, samples in pooled.items()
    ]


def _divided(whole: Sequence[float], parts: Mapping[Part, Sequence[float]], q: float) -> dict[Part, float]:
    """The percentile of the whole, divided among the parts as in the samples whose whole is nearest to it."""
    value = percentile(whole, q)
    near = sorted(range(len(whole)), key=lambda index: abs(whole[index] - value))[: max(1, len(whole) // _AROUND)]
    sums = {name: math.fsum(samples[index] for index in near) for name, samples in parts.items()}
    return {name: value * part / math.fsum(sums.values()) for name, part in sums.items()}
