"""The source of a candidate's latency and memory: a measurement on a device, or a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prunnet_export.artifact import MemoryEntry
from prunnet_export.building import Build
from prunnet_export.devices import Device, Fingerprint, Timed, measure_latency, peak_memory_mb
from prunnet_export.measuring import LatencyReport
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import Runtime


@dataclass(frozen=True)
class MeasuredTiming:
    """Measures candidates on a device.

    Attributes:
        device: The device.
        runtime: The engine.
        threads: Intra-operator threads; None leaves it to the engine.
        timed: What is timed of each candidate.
    """

    device: Device
    runtime: Runtime
    threads: int | None = None
    timed: Timed = field(default_factory=Timed)

    def latencies(
        self, builds: Sequence[Build], *, percentile: float, runs: int, samples: int, seconds: float
    ) -> list[LatencyReport]:
        """One report per build, in order. All builds are measured in the same runs.

        Args:
            builds: Compiled candidates.
            percentile: The percentile of the budget, in per cent.
            runs: Number of runs, each in a new process.
            samples: Number of samples of each build in each run.
            seconds: Time limit of the samples.

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
            timed=self.timed,
        )

    def memory(self, build: Build) -> MemoryEntry | None:
        """Peak memory; None if the engine is not built yet, because building needs other memory than running."""
        if not self.runtime.built(build.model):
            return None
        reply = peak_memory_mb(self.device, build.model, threads=self.threads, batch_size=self.timed.query.batch_size)
        return MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)

    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the device."""
        return self.device.fingerprint()


@dataclass(frozen=True)
class PredictedTiming:
    """Predicts the latency of batches of candidates on a target that cannot be measured."""

    predictor: Predictor
    runtime: Runtime
    batch_size: int = 1

    def latencies(
        self, builds: Sequence[Build], *, percentile: float, runs: int, samples: int, seconds: float
    ) -> list[LatencyReport]:
        """One prediction per build, in order. No model is run."""
        del runs, samples, seconds
        return [
            self.predictor.report(
                build.workload,
                pattern=build.candidate.pattern,
                precision=self.runtime.precision(build.candidate.precision),
                percentile=percentile,
                batch_size=self.batch_size,
                estimate=self.runtime.estimate_ms(build.model),
            )
            for build in builds
        ]

    def memory(self, build: Build) -> None:
        """Always None: memory is not predicted."""
        del build

    def fingerprint(self) -> None:
        """Always None: there is no device."""


Timing = MeasuredTiming | PredictedTiming
