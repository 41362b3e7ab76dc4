"""What the commands of ``prunnet-bench`` that make tables print and write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prunnet_export._cache_folder import cache_folder
from prunnet_export._console import note, warn
from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export.cli._context import choose_network, open_data
from prunnet_export.devices import find_device
from prunnet_export.measuring import UNSTEADY
from prunnet_export.prediction import DENSE, Calibration
from prunnet_export.reports import Check, Report, Table, render
from prunnet_export.target import find_target

if TYPE_CHECKING:
    from prunnet_export.benchmarks._compat import CompatRow, MatrixCell
    from prunnet_export.datasets import RetrievalData
    from prunnet_export.protocol import Protocol


def calibration_table(
    *,
    targets: Sequence[str],
    backbone: str,
    crop_px: int,
    patterns: Sequence[str],
    capacities: Sequence[float],
    samples: int,
    out: Path | None,
    device: str,
    threads: int | None,
    output_format: str,
    **_: Any,
) -> int:
    """Measure the grids of the targets, print the curves, and write the tables."""
    if out is not None and len(targets) > 1:
        raise click.UsageError("--out is one table: give --target once")
    chosen, machine = [find_target(name) for name in dict.fromkeys(targets)], find_device(device)
    from prunnet_export.benchmarks._calibrate import calibrate, capability_checks

    tables = calibrate(
        backbone,
        chosen,
        machine,
        crop=crop_px,
        patterns=patterns,
        capacities=capacities,
        samples=samples,
        threads=threads,
        say=note,
    )
    if max(row.cv for table in tables for row in table.rows) > UNSTEADY:
        warn("the coefficient of variation of some rows is over 2.5 %: clocks or other work disturb the measurement")
    checks: list[Check] = []
    documents, files = [], []
    for table in tables:
        files.append(out or _calibration_file(table))
        replace_file(files[-1], msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n")
        of_it = capability_checks(table)
        documents.append(
            {
                **msgspec.to_builtins(table),
                "file": str(files[-1]),
                "checks": list(map(asdict, of_it)),
            }
        )
        checks += of_it
    report = Report(
        title="calibration",
        tables=tuple(map(_calibration_table, tables)),
        checks=tuple(checks),
        document=documents[0] if len(documents) == 1 else {"tables": documents},
        footer=tuple(f"written: {file}" for file in files),
    )
    click.echo(render(report, output_format), nl=False)
    return 0


def _calibration_file(table: Calibration) -> Path:
    # A table of other patterns or threads stands beside this one.
    patterns = dict.fromkeys(row.pattern.replace(":", "_") for row in table.rows if row.pattern != DENSE)
    of = "-".join(patterns) + ("" if table.threads is None else f"-{table.threads}t")
    name = f"{table.target}-{table.backbone}-{table.crop_px}-{of}-{table.device.id}.json"
    return cache_folder() / "calibration" / name


def _calibration_table(table: Calibration) -> Table:
    rows = tuple(
        (
            r.pattern,
            f"{r.capacity:.0%}",
            f"{r.kept:.1%}",
            r.precision,
            r.p50_ms,
            r.p90_ms,
            f"{r.cv:.1%}",
            r.n,
            f"{r.speedup:.2f}x",
            r.size_mb,
        )
        for r in table.rows
    )
    columns = ("pattern", "capacity", "kept", "precision", "p50 ms", "p90 ms", "cv", "n", "speedup", "MB")
    engine = f"{table.runtime} {table.runtime_version}"
    return Table(f"{table.backbone}, {table.crop_px} px, batch 1, {engine}, measured on {table.device}", columns, rows)
