"""Every command compares the same figure with the budget: the upper bound of the latency, not the percentile."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import msgspec

from prunnet_export.artifact import Manifest, manifest_checks, read_manifest
from prunnet_export.benchmarks._check import remeasure
from prunnet_export.budget import Budget
from prunnet_export.finishing import Finish
from prunnet_export.measuring import LatencyReport
from prunnet_export.runtimes import find_runtime
from tests.search._exports import TableDevice, Workshop

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

    finished = finish(tmp_path / "exported.rejected", tmp_path / "finished")
    assert_between(finished.latency)
    assert finished.status == "rejected"
    assert finished.reasons[0].startswith("latency: p90 is up to")
    assert not finished.frontier[0].inside

    again = remeasure(tmp_path / "finished.rejected", scattering(), threads=1, verify_too=True)
    assert_between(again.latency)
    assert [check.name for check in again.checks() if not check.passed] == ["finished.rejected: latency budget"]


def finish(artifact: Path, destination: Path) -> Manifest:
    """Finish an artifact on the scattering device, as if its latency had been predicted."""
    predicted = msgspec.structs.replace(
        (manifest := read_manifest(artifact)),
        latency=msgspec.structs.replace(manifest.latency, source="predicted", n=0, runs=0, confidence=None),
    )
    job = Finish(
        folder=artifact,
        manifest=predicted,
        runtime=find_runtime("onnxruntime"),
        device=scattering(),
        options={},
        threads=1,
    )
    return job.run(destination)[1]
