"""Where the figures of a candidate come from: a device, or a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunnet_export.artifact import MemoryEntry
from prunnet_export.building import Build
from prunnet_export.devices import Device, Fingerprint, measure_latency, peak_memory_mb
from prunnet_export.measuring import LatencyReport
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import Runtime


@dataclass(frozen=True)
class MeasuredTiming:
    """What a device measures.

    Attributes:
        device: Where.
        runtime: The engine.
        threads: Intra-operator threads; None leaves it to the engine.
    """

    device: Device
    runtime: Runtime
    threads: int | None = None

    def latencies(
        self, builds: Sequence[Build], *, percentile: float, runs: int, samples: int, seconds: float
    ) -> list[LatencyReport]:
        """One report per build, in order, side by side.

        Args:
            builds: Compiled candidates.
            percentile: The one that is asked for, in per cent.
            runs: Fresh processes.
            samples: Of each build and run.
            seconds: Time for them.

        Raises:
            PrunnetError: the device does not answer.
        """
        return measure_latency(
            self.device,
            [build.model for build in builds],
            threads=self.threads,
            runs=runs,
            samples=samples,
            seconds=seconds,
            percentile=percentile,
        )

    def memory(self, build: Build) -> MemoryEntry | None:
        """Peak memory; None where the engine is not built yet, as building takes other memory than running."""
        if not self.runtime.built(build.model):
            return None
        reply = peak_memory_mb(self.device, build.model, threads=self.threads)
        return MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)

    def fingerprint(self) -> Fingerprint:
        """Of the device."""
        return self.device.fingerprint()


@dataclass(frozen=True)
class PredictedTiming:
    """What is expected of a device that is not here.

    Attributes:
        predictor: Of the target.
        runtime: The engine, whose compiler may have an estimate of its own.
    """

    predictor: Predictor
    runtime: Runtime

    def latencies(
        self, builds: Sequence[Build], *, percentile: float, runs: int, samples: int, seconds: float
    ) -> list[LatencyReport]:
        """One prediction per build, in order; nothing is run."""
        del runs, samples, seconds
        return [
            self.predictor.report(
                build.workload,
                pattern=build.candidate.pattern,
                precision=self.runtime.precision(build.candidate.precision),
                percentile=percentile,
                estimate=self.runtime.estimate_ms(build.model),
            )
            for build in builds
        ]

    def memory(self, build: Build) -> None:
        """Memory is not predicted."""
        del build

    def fingerprint(self) -> None:
        """There is no device."""


Timing = MeasuredTiming | PredictedTiming
