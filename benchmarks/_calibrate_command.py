"""``prunnet-bench calibrate``: the report and the files."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from prunnet_export._cache_folder import cache_folder
from prunnet_export._files import replace_file
from prunnet_export._numbers import percent
from prunnet_export.benchmarks._options import CalibrateOptions
from prunnet_export.devices import find_device
from prunnet_export.measuring import UNSTEADY
from prunnet_export.prediction import DENSE, Calibration
from prunnet_export.preprocessing import size_text
from prunnet_export.reports import Report, Table, print_report
from prunnet_export.target import find_target

_LOG = logging.getLogger(__name__)


def calibrate_command(options: CalibrateOptions) -> int:
    """Measure the grids of the targets, print the curves, and write the tables."""
    if options.out is not None and len(options.targets) > 1:
        raise click.UsageError("--out is one table: give --target once")
    targets, device = [find_target(name) for name in dict.fromkeys(options.targets)], find_device(options.device)
    from prunnet_export.benchmarks._calibrate import calibrate, capability_checks

    tables = calibrate(options, targets, device)
    if max(row.cv for table in tables for row in table.rows) > UNSTEADY:
        _LOG.warning(
            "some rows have a coefficient of variation over 2.5 %: clocks or other work disturb the measurement"
        )
    files = [options.out or _file(table) for table in tables]
    checks = [capability_checks(table) for table in tables]
    for table, file in zip(tables, files, strict=True):
        replace_file(file, msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n")
    documents = [
        {**msgspec.to_builtins(table), "file": str(file), "checks": list(map(asdict, table_checks))}
        for table, file, table_checks in zip(tables, files, checks, strict=True)
    ]
    report = Report(
        title="calibration",
        tables=tuple(map(_table, tables)),
        checks=tuple(check for table_checks in checks for check in table_checks),
        document=documents[0] if len(documents) == 1 else {"tables": documents},
        footer=tuple(f"written: {file}" for file in files),
    )
    print_report(report, options.output_format)
    return 0


def _file(table: Calibration) -> Path:
    # The name includes patterns and threads, so that tables with other ones are not replaced.
    patterns = dict.fromkeys(row.pattern.replace(":", "_") for row in table.rows if row.pattern != DENSE)
    conditions = "-".join(patterns) + ("" if table.threads is None else f"-{table.threads}t")
    name = f"{table.target}-{table.backbone}-{size_text(table.crop_px)}-{conditions}-{table.device.id}.json"
    return cache_folder() / "calibration" / name


def _table(table: Calibration) -> Table:
    columns = ("pattern", "capacity", "kept", "precision", "p50 ms", "p90 ms", "cv", "n", "speedup", "MB")
    rows = tuple(
        (
            r.pattern,
            percent(r.capacity),
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
    engine = f"{table.runtime} {table.runtime_version}"
    terms = f"{table.backbone}, {size_text(table.crop_px)} px, batch 1, {engine}, measured on {table.device}"
    return Table(terms, columns, rows)
