"""Running ``prunnet-export finish``."""

from __future__ import annotations

import platform
from pathlib import Path

from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, UnknownName, Unreachable
from prunnet_export._numbers import significant
from prunnet_export.artifact import (
    REJECTED,
    Manifest,
    frontier_table,
    latency_rows,
    latency_tables,
    manifest_checks,
    manifest_document,
    manifest_skips,
    read_manifest,
    restore,
)
from prunnet_export.devices import find_device
from prunnet_export.finishing import Finish
from prunnet_export.reports import Report, Table, print_report
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import find_target


def finish_artifact(artifact: Path, out: Path | None, *, threads: int | None, output_format: str) -> int:
    """Finish one artifact and print its report; returns the exit code."""
    restore(artifact)
    manifest = read_manifest(artifact)
    job = Finish(
        folder=artifact,
        manifest=manifest,
        runtime=find_runtime(manifest.runtime.name),
        device=find_device("local"),
        options=_target_options(artifact, manifest),
        threads=threads,
    )
    place = artifact.resolve()
    folder, finished = job.run(out or place.with_name(place.name.removesuffix(REJECTED)))
    cut = finished.subnetwork
    expected = next((other.latency for other in manifest.alternatives if other.subnetwork == cut), manifest.latency)
    report = Report(
        title=f"prunnet-export finish {finished.target}",
        tables=(
            Table(
                "result",
                ("", ""),
                (
                    ("device", str(finished.device)),
                    ("chosen", str(cut)),
                    *latency_rows(finished.latency),
                    *(() if expected.emulated else (("expected", str(expected)),)),
                    ("size", f"{significant(finished.size_mb)} MB"),
                ),
            ),
            *latency_tables(finished.latency),
            frontier_table(finished),
        ),
        checks=manifest_checks(finished),
        skips=manifest_skips(finished),
        document={**manifest_document(finished), "artifact": {"path": str(folder), "status": finished.status}},
        footer=(f"{finished.status}: {folder}", _next_command(finished, folder)),
    )
    print_report(report, output_format)
    if finished.status == "rejected":
        limits = "other limits" if finished.latency.emulated else "the latency that was measured here"
        fail_line("; ".join(finished.reasons), f"export again with {limits}")
        return GateFailed.exit_code
    return 0


def _next_command(manifest: Manifest, folder: Path) -> str:
    if manifest.latency.emulated:
        return f"next, on the device itself: prunnet-export finish {folder}"
    return f"next: prunnet-bench {folder}"


def _target_options(artifact: Path, manifest: Manifest) -> dict[str, str]:
    """The compile options of the artifact's target; empty if the target's package is not on the device.

    Raises:
        Unreachable: this machine is not the target's device.
    """
    try:
        target = find_target(manifest.target)
    except UnknownName:
        return {}
    if why := target.unlike(platform.machine()):
        raise Unreachable(f"{artifact} cannot be finished here: {why}", hint="run this on the device")
    return dict(target.options)
