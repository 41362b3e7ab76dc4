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


def compat_table(
    *,
    network: Path | None,
    data: str | None,
    layout: str | None,
    patterns: Sequence[str],
    capacities: Sequence[float],
    matrix: bool,
    channel_multiple: int,
    max_queries: int,
    max_gallery: int,
    output_format: str,
    **_: Any,
) -> int:
    """Compute and print the compatibility table of a network, and the whole matrix where asked."""
    if matrix and len(patterns) > 1:
        raise click.UsageError("--matrix is of one pattern: give --pattern once")
    from prunnet_export.benchmarks._compat import Compatibility
    from prunnet_export.network import load_checkpoint
    from prunnet_export.search import Evidence

    chosen = choose_network(network)
    checkpoint = load_checkpoint(chosen.folder)
    evidence = Evidence(
        checkpoint, open_data(data, layout, checkpoint), max_queries=max_queries, max_gallery=max_gallery
    )
    job = Compatibility(checkpoint, evidence, channel_multiple, say=note)
    cells: list[MatrixCell] = []
    if matrix:
        # The dense network is among them: it is what the others are compatible with.
        embedded = list(job.embedded(patterns[0], list(dict.fromkeys((1.0, *capacities)))))
        found, cells = list(job.rows(embedded)), job.matrix(embedded)
    else:
        found = [row for pattern in patterns for row in job.rows(job.embedded(pattern, capacities))]
    protocol = evidence.data.protocol
    n_queries, n_gallery = map(len, job.chosen)
    tables = [
        *(_compat_table(name, found, evidence.data, n_gallery) for name in job.relevances),
        *(_matrix_table(name, cells, protocol) for name in ("R@1", protocol.average) if cells),
    ]
    report = Report(
        title="compatibility",
        tables=tuple(tables),
        checks=(),
        document={
            "network": {"path": str(chosen.folder), "because": chosen.because},
            "data": evidence.data.name,
            "protocol": asdict(protocol),
            "n_queries": n_queries,
            "n_gallery": n_gallery,
            "rows": [asdict(row) for row in found],
            **({"matrix": {"pattern": patterns[0], "cells": [asdict(cell) for cell in cells]}} if matrix else {}),
        },
        footer=(f"network: {chosen.folder} ({chosen.because})",),
    )
    click.echo(render(report, output_format), nl=False)
    return 0


def _compat_table(judged: str, found: Sequence[CompatRow], data: RetrievalData, n_gallery: int) -> Table:
    """Two rows for each subnetwork: self-test and cross-test under one judgement."""
    of_it = [row for row in found if row.judged == judged]
    lines = [
        (row, test, metrics) for row in of_it for test, metrics in (("self", row.self_test), ("cross", row.cross_test))
    ]
    rows = tuple(
        (
            row.pattern,
            f"{row.asked:.0%}",
            f"{row.capacity:.1%}",
            test,
            *(f"{value:.1%}" for value in metrics.figures(data.protocol).values()),
        )
        for row, test, metrics in lines
    )
    first = of_it[0].self_test
    left_out = f" ({first.n_left_out} have nothing to find)" if first.n_left_out else ""
    name = data.name if data.judged is None else f"{data.name}, {judged}"
    title = f"{name}: {first.n_queries} queries{left_out}, {n_gallery} gallery images"
    return Table(title, ("pattern", "capacity", "kept", "test", *first.figures(data.protocol)), rows)


def _matrix_table(name: str, cells: Sequence[MatrixCell], protocol: Protocol) -> Table:
    """One figure of every query capacity (down) against every gallery capacity (across)."""
    galleries = list(dict.fromkeys(cell.gallery for cell in cells))
    rows = tuple(
        (f"{query:.0%}", *(f"{cell.metrics.figures(protocol)[name]:.1%}" for cell in cells if cell.query == query))
        for query in dict.fromkeys(cell.query for cell in cells)
    )
    return Table(f"{name}: query x gallery", ("query", *(f"{gallery:.0%}" for gallery in galleries)), rows)


def write_gallery(
    *, network: Path | None, data: str | None, layout: str | None, out: Path, output_format: str, **_: Any
) -> int:
    """Embed the gallery split with the dense network and write it."""
    from prunnet_export.network import load_checkpoint
    from prunnet_export.search._evidence import batches, embed_in_torch
    from prunnet_export.verification import Gallery, save_gallery

    chosen = choose_network(network)
    checkpoint = load_checkpoint(chosen.folder)
    source = open_data(data, layout, checkpoint)
    images = source.gallery
    if len(images) == 0:
        raise InvalidInput(f"{source.name} has no gallery images", hint="give --data with a gallery split")
    note(f"embedding {len(images)} images")
    inputs = batches(images, range(len(images)), checkpoint.config.preprocessing)
    embeddings = embed_in_torch(checkpoint.network.embedder, inputs)
    save_gallery(Gallery(embeddings, images.labels, checkpoint.config.weights_sha256), out)
    facts = (("images", len(embeddings)), ("dimension", embeddings.shape[1]), ("network", str(chosen.folder)))
    report = Report(
        title="gallery",
        tables=(Table("gallery", ("", ""), facts),),
        checks=(),
        document={**dict(facts), "file": str(out)},
        footer=(f"written: {out}", f"next: prunnet-export --gallery {out} --target x86-onnxruntime --budget-ms 5"),
    )
    click.echo(render(report, output_format), nl=False)
    return 0
