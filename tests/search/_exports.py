"""Exports of the tiny network, with latencies from a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from prunnet_export.budget import Budget
from prunnet_export.building import BuildCache, Builder
from prunnet_export.datasets import RetrievalData, open_dataset
from prunnet_export.devices import Device, LocalDevice
from prunnet_export.devices._protocol import (
    LatencyReply,
    LatencyRequest,
    MemoryReply,
    MemoryRequest,
    Reply,
    Request,
)
from prunnet_export.evaluating import Evidence, Gallery
from prunnet_export.network import Checkpoint, load_checkpoint
from prunnet_export.precision import FP32
from prunnet_export.prediction import Predictor
from prunnet_export.runtimes import find_runtime
from prunnet_export.search import Export
from prunnet_export.target import Limits, find_target
from prunnet_export.thresholds import Thresholds
from tests._cli import folder_of_the_run

MULTIPLE = 8
MAX_QUERIES, MAX_GALLERY = 500, 1000
LIMITS = Limits(tera_macs={"fp32": 0.05}, memory_gb_s=10, efficiency=0.5, layer_us=5, source="a data sheet")
PREDICTOR = Predictor(replace(find_target("x86-onnxruntime"), limits=LIMITS))
LENIENT = Thresholds(recall=0, overlap=0, spread=0)  # the network is untrained

Latency = Callable[[int, LatencyRequest], float]


class TableDevice(Device):
    """This machine, except that a model of b bytes takes ``table(b, request)`` milliseconds.

    Attributes:
        asked: Latency requests so far.
    """

    def __init__(self, table: Latency, *, peak_mb: Callable[[int], float] | None = None) -> None:
        self.table = table
        self.peak_mb = peak_mb
        self.asked: list[LatencyRequest] = []
        self._local = LocalDevice()

    def run(self, request: Request, *, timeout: float = 60) -> Reply:
        if isinstance(request, LatencyRequest):
            self.asked.append(request)
            count = max(request.samples, request.at_least)
            time = self.table(Path(request.model).stat().st_size, request)
            return LatencyReply(samples=[time] * count, runtime_version="table")
        if isinstance(request, MemoryRequest) and self.peak_mb is not None:
            peak = self.peak_mb(Path(request.model).stat().st_size)
            return MemoryReply(peak_mb=peak, source="table")
        return self._local.run(request, timeout=timeout)


def kilobytes(size: int, _request: LatencyRequest) -> float:
    """One millisecond for each kilobyte of the model."""
    return size / 1000


@dataclass
class Workshop:
    """The values that the exports of one test share."""

    checkpoint: Checkpoint
    data: RetrievalData
    cache: Path
    gallery: Gallery | None = None

    def export(
        self,
        budget: Budget,
        *,
        device: Device | None = None,
        patterns: Sequence[str] = ("channel",),
        thresholds: Thresholds = LENIENT,
        **options: object,
    ) -> Export:
        """An export that is ready to run."""
        device = device or TableDevice(kilobytes)
        runtime = find_runtime("onnxruntime")
        evidence = Evidence(self.checkpoint, self.data, MAX_QUERIES, MAX_GALLERY, self.gallery)
        builder = Builder(
            self.checkpoint.network,
            runtime,
            BuildCache(self.cache),
            device="table",
            settle=evidence.settle,
            calibration=evidence.calibration,
        )
        more: Mapping[str, object] = options
        return Export(
            checkpoint=self.checkpoint,
            network_name="tiny",
            target=find_target("x86-onnxruntime"),
            runtime=runtime,
            device=device,
            budget=budget,
            evidence=evidence,
            builder=builder,
            patterns=patterns,
            precisions=("fp32",),
            channel_multiple=MULTIPLE,
            thresholds=thresholds,
            threads=1,
            **more,  # type: ignore[arg-type]  # the field that the test is about
        )


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests share: each candidate is built once a run."""
    return folder_of_the_run(tmp_path_factory, "builds")


@pytest.fixture
def workshop(tiny_network: Path, tiny_data: Path, build_folder: Path) -> Workshop:
    """The tiny network and its images."""
    return Workshop(load_checkpoint(tiny_network), open_dataset(str(tiny_data)), build_folder)


def predicted_export(workshop: Workshop) -> Export:
    """An export with predicted latencies, and a budget that about half of the rungs fit."""
    export = workshop.export(Budget(latency_ms=1), predictor=PREDICTOR)
    rungs = export.candidates()["channel", "fp32"]
    middle = export.builder.build(rungs[len(rungs) // 2], re_estimated=False)
    upper = PREDICTOR.report(middle.workload, pattern="channel", precision=FP32, percentile=90).upper_ms
    export.budget = Budget(latency_ms=upper * 1.001)
    return export
