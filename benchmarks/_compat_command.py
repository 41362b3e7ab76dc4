"""``prunnet-bench compat``: the tables of self-test and cross-test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from prunnet_export._text import interval_text
from prunnet_export.benchmarks._compat import Compatibility, CompatRow, PairCell
from prunnet_export.benchmarks._compat_teacher import teacher_report, teacher_rows
from prunnet_export.benchmarks.drift._table import DriftRow, breaks_first, drift_rows, drift_table
from prunnet_export.cli import NetworkChoice, choose_network, open_data
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import Evidence, warn_of_overlap
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.network import limit_torch_threads, load_checkpoint
from prunnet_export.protocol import Protocol
from prunnet_export.reports import Report, Table, print_report


@dataclass(frozen=True, kw_only=True)
class CompatOptions:
    """The options of ``compat``, as its help describes them."""

    network: Path | None
    data: str | None
    layout: str | None
    patterns: tuple[str, ...]
    capacities: tuple[float, ...]
    channel_multiple: int
    max_queries: int
    max_gallery: int
    gallery: Path | GalleryAddress | None
    all_pairs: bool
    corruptions: bool
    output_format: str


def compat(options: CompatOptions) -> int:
    """Compute and print the compatibility tables of a network, and with ``--all-pairs`` every pair of capacities."""
    for name, asked in (("--all-pairs", options.all_pairs), ("--corruptions", options.corruptions)):
        if asked and len(options.patterns) > 1:
            raise click.UsageError(f"{name} takes one pattern: give --pattern once")
    limit_torch_threads()
    chosen = choose_network(options.network)
    checkpoint = load_checkpoint(chosen.folder)
    data = open_data(options.data, options.layout, checkpoint)
    evidence = Evidence(checkpoint, data, options.max_queries, options.max_gallery)
    if evidence.sample is not None:
        print_report(_with_teacher(evidence, chosen, options), options.output_format)
        return 0
    if options.gallery is not None:
        raise click.UsageError("--gallery is a teacher's, and this network has no teacher but itself")
    warn_of_overlap(data)
    job = Compatibility(evidence, options.channel_multiple)
    found, cells = _compute(job, options)
    n_queries, n_gallery = map(len, job.images.indices)
    tables = [
        *(_compat_table(name, found, data, n_gallery) for name in job.relevances),
        *(_pairs_table(name, cells, data.protocol) for name in ("R@1", data.protocol.average) if cells),
    ]
    drift = _drift(evidence, options)
    if drift:
        tables.append(drift_table(drift, f"{data.name}: R@1 of corrupted queries in the dense gallery, n {drift[0].n}"))
    pairs = {"pattern": options.patterns[0], "cells": [asdict(cell) for cell in cells]}
    report = Report(
        title="compatibility",
        tables=tuple(tables),
        document={
            "network": {"path": str(chosen.folder), "because": chosen.because},
            "data": data.name,
            "protocol": asdict(data.protocol),
            "n_queries": n_queries,
            "n_gallery": n_gallery,
            "rows": [asdict(row) for row in found],
            **({"all_pairs": pairs} if options.all_pairs else {}),
            **({"corruptions": [asdict(row) for row in drift]} if drift else {}),
        },
        footer=(*([breaks_first(drift)] if drift else []), f"network: {chosen.folder} ({chosen.because})"),
    )
    print_report(report, options.output_format)
    return 0


def _drift(evidence: Evidence, options: CompatOptions) -> list[DriftRow]:
    """The rows of the corruption table, if it is asked for."""
    if not options.corruptions:
        return []
    return list(drift_rows(evidence, options.patterns[0], options.capacities, options.channel_multiple))


def _with_teacher(evidence: Evidence, chosen: NetworkChoice, options: CompatOptions) -> Report:
    """The report of a network with a teacher, in the given gallery or in the one that is stored with the network."""
    if options.all_pairs:
        raise click.UsageError("--all-pairs compares subnetworks with each other, and this network has a teacher")
    if options.corruptions:
        raise click.UsageError("--corruptions needs labels and a dense gallery, and this network has a teacher")
    if options.gallery is not None:
        evidence = evidence.with_gallery(options.gallery)
    side = evidence.teacher_side()
    rows = [
        row
        for pattern in options.patterns
        for row in teacher_rows(evidence, side, pattern, options.capacities, options.channel_multiple)
    ]
    return teacher_report(rows, evidence, side, chosen)


def _compute(job: Compatibility, options: CompatOptions) -> tuple[list[CompatRow], list[PairCell]]:
    """The rows, and the pairs if they are requested."""
    if not options.all_pairs:
        patterns = options.patterns
        return [row for pattern in patterns for row in job.rows(job.embedded(pattern, options.capacities))], []
    # The pairs always include the dense network, because the others must be compatible with it.
    embedded = list(job.embedded(options.patterns[0], list(dict.fromkeys((1.0, *options.capacities)))))
    return list(job.rows(embedded)), job.all_pairs(embedded)


def _compat_table(judged: str, found: Sequence[CompatRow], data: RetrievalData, n_gallery: int) -> Table:
    """Two rows for each subnetwork: self-test and cross-test by one definition of relevance."""
    chosen = [row for row in found if row.judged == judged]
    lines = [
        (row, test, metrics) for row in chosen for test, metrics in (("self", row.self_test), ("cross", row.cross_test))
    ]
    rows = tuple(
        (
            row.pattern,
            f"{row.asked:.0%}",
            f"{row.capacity:.1%}",
            test,
            *(
                cell
                for name, value in metrics.figures(data.protocol).items()
                for cell in (f"{value:.1%}", *([interval_text(metrics.recall_interval[1])] if name == "R@1" else []))
            ),
        )
        for row, test, metrics in lines
    )
    first = chosen[0].self_test
    left_out = f" ({first.n_left_out} have nothing to find)" if first.n_left_out else ""
    columns = [
        column for name in first.figures(data.protocol) for column in ((name, "95%") if name == "R@1" else (name,))
    ]
    name = data.name if data.judged is None else f"{data.name}, {judged}"
    title = f"{name}: {first.n_queries} queries{left_out}, {n_gallery} gallery images"
    return Table(title, ("pattern", "capacity", "kept", "test", *columns), rows)


def _pairs_table(name: str, cells: Sequence[PairCell], protocol: Protocol) -> Table:
    """One figure for every query capacity (rows) and every gallery capacity (columns)."""
    galleries = list(dict.fromkeys(cell.gallery for cell in cells))
    rows = tuple(
        (f"{query:.0%}", *(f"{cell.metrics.figures(protocol)[name]:.1%}" for cell in cells if cell.query == query))
        for query in dict.fromkeys(cell.query for cell in cells)
    )
    return Table(f"{name}: query x gallery", ("query", *(f"{gallery:.0%}" for gallery in galleries)), rows)
