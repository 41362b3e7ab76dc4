"""What the commands of ``prunnet-bench`` that make tables print and write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunnet_export._console import note
from prunnet_export._errors import InvalidInput
from prunnet_export.cli._context import choose_network, open_data
from prunnet_export.reports import Report, Table, render

if TYPE_CHECKING:
    from prunnet_export.benchmarks._compat import CompatRow, MatrixCell
    from prunnet_export.datasets import RetrievalData
    from prunnet_export.protocol import Protocol


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
