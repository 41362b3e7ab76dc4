"""The search for candidates inside the budget, on measured latencies, one ladder after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prunnet_export._errors import Unreachable, UnsupportedPrecision, UsageError
from prunnet_export.budget import Budget, Figures
from prunnet_export.building import Build, Builder, Candidate
from prunnet_export.devices import Device, Timed
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import Checkpoint
from prunnet_export.patterns import find_pattern
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import Runtime
from prunnet_export.search._bisect import Verdict, largest_inside
from prunnet_export.search._ladder import ladder
from prunnet_export.search._outcome import Measured
from prunnet_export.search._timing import MeasuredTiming, PredictedTiming, Timing

_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class BudgetSearch:
    """Finds the candidates of a network that are inside a budget.

    Attributes:
        checkpoint: The network.
        runtime: Runtime of the target.
        device: The device that measures.
        budget: The limits.
        builder: Builds candidates.
        patterns: Patterns to search.
        precisions: Precisions to search, the most exact first.
        channel_multiple: Kept widths are multiples of this.
        threads: Intra-operator threads of the runtime; None leaves it to the engine.
        predictor: Predicts latencies if the target cannot be measured; else None.
    """

    checkpoint: Checkpoint
    runtime: Runtime
    device: Device
    budget: Budget
    builder: Builder
    patterns: Sequence[str]
    precisions: Sequence[str]
    channel_multiple: int
    threads: int | None = None
    predictor: Predictor | None = None

    def __post_init__(self) -> None:
        self._measured: dict[Candidate, Measured] = {}
        self._rungs: dict[tuple[str, str], list[Candidate]] = {}

    def candidates(self) -> dict[tuple[str, str], list[Candidate]]:
        """The ladder of each (pattern, precision), smallest capacity first."""
        if not self._rungs:
            network = self.checkpoint.network
            self._rungs = {
                (pattern, precision): ladder(network, find_pattern(pattern, self.channel_multiple), precision)
                for pattern in self.patterns
                for precision in self.precisions
            }
        return self._rungs

    def _search(self) -> dict[Candidate, Measured]:
        """Search every ladder and return the measured candidates that are inside the budget.

        Raises:
            PrunnetError: no ladder can be searched.
        """
        for (pattern, precision), rungs in list(self.candidates().items()):
            _LOG.info("searching %d %s %s candidates for %s", len(rungs), pattern, precision, self.budget)
            try:
                largest_inside(rungs, self._verdict)
            except (UnsupportedPrecision, Unreachable) as error:
                # The machine lacks this precision, or it cannot be predicted. Other precisions may work.
                del self._rungs[pattern, precision]
                if not self._rungs or (self.predictor is None and isinstance(error, Unreachable)):
                    raise
                _LOG.info("no %s %s: %s", pattern, precision, error.message)
        return {candidate: measured for candidate, measured in self._measured.items() if measured.inside}

    def _verdict(self, candidate: Candidate) -> Verdict:
        measured = self._probe(candidate)
        figures = Figures(measured.latency.limited_ms, measured.build.size_mb, None)
        return Verdict(measured.inside, self.budget.used(figures))

    def _probe(self, candidate: Candidate) -> Measured:
        """The candidate's latency, and whether it is inside the budget; measured once."""
        if candidate not in self._measured:
            build = self.builder.build(candidate, re_estimated=False)
            [latency] = self._measure([build], runs=3, samples=60, seconds=5)
            if self.budget.unclear(p50_ms=latency.p50_ms, upper_ms=latency.upper_ms):
                [latency] = self._measure([build], runs=5, samples=100, seconds=10)
            inside = self.budget.inside(Figures(latency.limited_ms, build.size_mb, None))
            if inside and self.budget.ram_mb is not None:
                inside = self.budget.inside(Figures(latency.limited_ms, build.size_mb, self._known_peak_mb(build)))
            self._measured[candidate] = Measured(build, latency, inside)
            verdict = "fits" if inside else "does not fit"
            _LOG.info("%s: %.3g ms, %.3g MB, %s", candidate, latency.upper_ms, build.size_mb, verdict)
        return self._measured[candidate]

    def _known_peak_mb(self, build: Build) -> float:
        memory = self._timing().memory(build)
        if memory is None:
            raise UsageError(
                f"peak memory is not known before {self.runtime.name} has built its engine",
                hint="leave out --budget-ram-mb",
            )
        return memory.peak_mb

    def _timing(self) -> Timing:
        if self.predictor is not None:
            return PredictedTiming(self.predictor, self.runtime, self.budget.query.batch_size)
        timed = Timed(self.budget.query, self.checkpoint.config.preprocessing)
        return MeasuredTiming(self.device, self.runtime, self.threads, timed)

    def _measure(self, builds: Sequence[Build], *, runs: int, samples: int, seconds: float) -> list[LatencyReport]:
        return self._timing().latencies(
            builds, percentile=self.budget.percentile, runs=runs, samples=samples, seconds=seconds
        )
