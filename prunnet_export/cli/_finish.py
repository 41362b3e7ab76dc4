"""What ``prunnet-export finish`` does."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import click

from prunnet_export._console import fail_line, note, warn
from prunnet_export._errors import GateFailed, UnknownName, Unreachable
from prunnet_export.artifact import read_manifest
from prunnet_export.devices import find_device
from prunnet_export.reports import Report, Table, render
from prunnet_export.reports._export import checks, frontier_table, manifest_document
from prunnet_export.runtimes import find_runtime
from prunnet_export.search import Finish
from prunnet_export.target import find_target


def finish(*, artifact: Path, out: Path | None, threads: int | None, output_format: str, **_: Any) -> int:
    """Finish one artifact and print its report; returns the exit code."""
    manifest = read_manifest(artifact)
    runtime = find_runtime(manifest.runtime.name)
    try:
        target = find_target(manifest.target)
    except UnknownName:  # a third party's, whose package is not on the device
        options = {}
    else:
        options = dict(target.options)
        if why := target.unlike(platform.machine()):
            raise Unreachable(f"{artifact} cannot be finished here: {why}", hint="run this on the device")
    job = Finish(
        folder=artifact,
        manifest=manifest,
        runtime=runtime,
        device=find_device("local"),
        options=options,
        threads=threads,
        say=note,
        warn=warn,
    )
    place = artifact.resolve()
    folder, finished = job.run(out or place.with_name(place.name.removesuffix(".rejected")))
    latency, cut = finished.latency, finished.subnetwork
    expected = next((other.latency for other in manifest.alternatives if other.subnetwork == cut), manifest.latency)
    report = Report(
        title=f"prunnet-export finish {finished.target}",
        tables=(
            Table(
                "result",
                ("", ""),
                (
                    ("device", str(finished.device)),
                    ("chosen", f"{cut.pattern} {cut.capacity:.1%} {cut.precision}"),
                    ("latency", str(latency)),
                    ("expected", str(expected)),
                    ("size", f"{finished.size_mb:.3g} MB"),
                ),
            ),
            frontier_table(finished),
        ),
        checks=checks(finished),
        document={**manifest_document(finished), "artifact": {"path": str(folder), "status": finished.status}},
        footer=(f"{finished.status}: {folder}", f"next: prunnet-bench {folder}"),
    )
    click.echo(render(report, output_format), nl=False)
    if finished.status == "rejected":
        fail_line("; ".join(finished.reasons), "export again with the latency that was measured here")
        return GateFailed.exit_code
    return 0
