"""Where the figures of a candidate come from: a device, or a prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from prunnet_export.artifact import MemoryEntry
from prunnet_export.building import Build
from prunnet_export.devices import Device, Fingerprint, measure_latency, peak_memory_mb
from prunnet_export.measuring import LatencyReport
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import Runtime


class Timing(ABC):
    """Tells latency and memory of builds."""

    @abstractmethod
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
            PrunnetError: there is no telling now.
        """

    @abstractmethod
    def memory(self, build: Build) -> MemoryEntry | None:
        """Peak memory; None where it is not known."""

    @abstractmethod
    def fingerprint(self) -> Fingerprint | None:
        """Of the device that was measured; None where none was."""


@dataclass(frozen=True)
class MeasuredTiming(Timing):
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
        """See :class:`Timing`."""
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
        """See :class:`Timing`; what it takes to build an engine is not what it takes to run it."""
        if not self.runtime.built(build.model):
            return None
        reply = peak_memory_mb(self.device, build.model, threads=self.threads)
        return MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)

    def fingerprint(self) -> Fingerprint:
        """See :class:`Timing`."""
        return self.device.fingerprint()


@dataclass(frozen=True)
class PredictedTiming(Timing):
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
        """See :class:`Timing`; nothing is run."""
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
        """See :class:`Timing`."""
        del build

    def fingerprint(self) -> None:
        """See :class:`Timing`."""
