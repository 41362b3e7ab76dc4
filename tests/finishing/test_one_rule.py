"""Every command compares the same figures: the upper bound of a latency, and the lower end of an interval."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path

import msgspec
import numpy as np

from prunnet_export.artifact import Manifest, manifest_checks, read_manifest
from prunnet_export.benchmarks._remeasure import remeasure
from prunnet_export.budget import Budget
from prunnet_export.devices import Device
from prunnet_export.evaluating import Gallery
from prunnet_export.finishing import Finish
from prunnet_export.measuring import LatencyReport
from prunnet_export.runtimes import find_runtime
from tests._inputs import retrieval_data
from tests.search._exports import LENIENT, TableDevice, Workshop, kilobytes

BUDGET = Budget(latency_ms=1.42)


def scattering() -> TableDevice:
    """A device whose runs differ: p90 is at most 1.4 ms, and its upper bound at least 1.44 ms."""
    times = cycle([1.0, 1.1, 1.2, 1.3, 1.4])
    return TableDevice(lambda _size, _request: next(times))


def assert_between(latency: LatencyReport) -> None:
    assert latency.percentile_ms < 1.42 < latency.upper_ms


def test_a_percentile_inside_and_a_bound_outside_are_refused_by_all(workshop: Workshop, tmp_path: Path) -> None:
    rejected = workshop.export(BUDGET, device=scattering()).run(tmp_path / "exported").manifest
    assert_between(rejected.latency)
    assert rejected.status == "rejected"
    assert not any(entry.inside for entry in rejected.frontier)
    assert [check.name for check in manifest_checks(rejected) if not check.passed] == ["latency budget"]

    finished = finish(tmp_path / "exported.rejected", tmp_path / "finished", scattering())
    assert_between(finished.latency)
    assert finished.status == "rejected"
    assert finished.reasons[0].startswith("latency: p90 is up to")
    assert not finished.frontier[0].inside

    again = remeasure(tmp_path / "finished.rejected", scattering(), threads=1, verify_too=True)
    assert_between(again.latency)
    assert [check.name for check in again.checks() if not check.passed] == ["latency budget"]


def test_the_lower_end_of_an_interval_inside_a_gate_and_not_the_mean(workshop: Workshop, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, workshop.checkpoint.config.embedding_dim)).astype(np.float32)
    unlabelled = replace(workshop, data=retrieval_data(), gallery=Gallery.in_memory(rows))
    budget = Budget(latency_ms=60)  # in kilobytes: only the smallest cut, which finds other neighbours

    def export(overlap: float, name: str) -> Manifest:
        thresholds = msgspec.structs.replace(LENIENT, overlap=overlap)
        return unlabelled.export(budget, thresholds=thresholds).run(tmp_path / name).manifest

    first = export(0, "lenient").verification.gate("neighbour overlap")
    assert first is not None
    assert first.interval is not None
    assert first.interval[0] < first.value
    asked = (first.interval[0] + first.value) / 2
    rejected = export(asked, "strict")
    assert rejected.status == "rejected"
    assert rejected.reasons[0].startswith("neighbour overlap")

    finished = finish(tmp_path / "strict.rejected", tmp_path / "finished", TableDevice(kilobytes))
    assert finished.reasons == rejected.reasons
    assert finished.verification.gate("neighbour overlap") == rejected.verification.gate("neighbour overlap")

    again = remeasure(tmp_path / "finished.rejected", TableDevice(kilobytes), threads=1, verify_too=True)
    assert [check.name for check in again.checks() if not check.passed] == ["neighbour overlap"]


def finish(artifact: Path, destination: Path, device: Device) -> Manifest:
    """Finish an artifact on a device, as if its latency had been predicted."""
    predicted = msgspec.structs.replace(
        (manifest := read_manifest(artifact)),
        latency=msgspec.structs.replace(manifest.latency, source="predicted", n=0, runs=0, confidence=None),
    )
    job = Finish(
        folder=artifact,
        manifest=predicted,
        runtime=find_runtime("onnxruntime"),
        device=device,
        options={},
        threads=1,
    )
    return job.run(destination)[1]
