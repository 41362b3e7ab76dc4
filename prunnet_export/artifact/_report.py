"""The parts of a report that show a manifest."""

from __future__ import annotations

from typing import Any

import msgspec

from prunnet_export._numbers import significant
from prunnet_export.artifact._manifest import Manifest
from prunnet_export.artifact._verification import Gate, VerificationEntry
from prunnet_export.budget import Budget, Figures
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Cell, Check, Plot, Skip, Table


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    """The figures of a manifest as one JSON document."""
    whole: dict[str, Any] = msgspec.to_builtins(manifest)
    document = {
        "status": whole["status"],
        "reasons": whole["reasons"],
        "target": whole["target"],
        "runtime": whole["runtime"],
        "device": whole["device"],
        "teacher": whole["network"]["teacher"],
        "chosen": whole["subnetwork"],
        "budget": whole["budget"],
        "latency": whole["latency"],
        "dense_latency": whole["dense_latency"],
        "memory": whole["memory"],
        "verification": whole["verification"],
        "frontier": whole["frontier"],
        "built": whole["built"],
        "verified_by": whole["verified_by"],
        "alternatives": whole["alternatives"],
        "tools": whole["tools"],
    }
    if not manifest.frontier:
        return document
    fastest = min(manifest.frontier, key=lambda entry: entry.upper_ms)
    return {**document, "fastest": msgspec.to_builtins(fastest)}


def budget_checks(budget: Budget, latency: LatencyReport, figures: Figures) -> list[Check]:
    """A check for each limit of a budget, given the latency and the other figures of a candidate."""
    limits = budget.limits(figures)
    figures_text = [
        str(latency) if limit.name == "latency" else f"{significant(limit.figure)} {limit.unit}" for limit in limits
    ]
    return [
        Check(f"{limit.name} budget", limit.inside, f"{text}, budget {limit.allowed:g} {limit.unit}")
        for limit, text in zip(limits, figures_text, strict=True)
    ]


def budget_skips(budget: Budget, latency: LatencyReport) -> tuple[Skip, ...]:
    """The limits of a budget that could not be looked at, because the machine was emulated."""
    if not latency.emulated:
        return ()
    limits = {"latency budget": budget.latency_ms, "memory budget": budget.ram_mb}
    why = "the processor was emulated, which says nothing about the device"
    return tuple(Skip(name, why) for name, limit in limits.items() if limit is not None)


def latency_rows(latency: LatencyReport) -> list[tuple[str, str]]:
    """The rows of a report that state a latency, and of batches also the images per second."""
    rows = [("latency", str(latency))]
    if latency.batch > 1:
        rate = f"{significant(latency.images_per_second)} images per second"
        rows.append(("throughput", f"{rate} (batch {latency.batch} / p50; {latency.source})"))
    return rows


def latency_tables(latency: LatencyReport) -> list[Table]:
    """The table of where the time of a query goes; none if only the network was timed."""
    if not latency.parts:
        return []
    at = f"p{latency.percentile:g} ms"
    rows: list[tuple[Cell, ...]] = [
        (part.name, part.p50_ms, part.percentile_ms, part.mean_ms, f"{part.mean_ms / latency.mean_ms:.1%}", part.n)
        for part in latency.parts
    ]
    rows.append(("total", latency.p50_ms, latency.percentile_ms, latency.mean_ms, "100.0%", latency.n))
    columns = ("part", "p50 ms", at, "mean ms", "share of the mean", "n")
    return [Table("where the time goes", columns, tuple(rows))]


def gate_check(gate: Gate) -> Check:
    """The check of a gate."""
    asked = "reported" if gate.threshold is None else f"asked {gate.comparison} {gate.threshold:.4g}"
    return Check(gate.name, gate.passed, f"{gate.found()}, {asked}, n {gate.n}: {gate.note}")


def gate_skips(verification: VerificationEntry) -> tuple[Skip, ...]:
    """The gates that were not looked at."""
    return tuple(Skip(unchecked.name, unchecked.reason) for unchecked in verification.unchecked)


def manifest_checks(manifest: Manifest) -> tuple[Check, ...]:
    """The checks of the budget and of every gate of an artifact."""
    limits = budget_checks(manifest.budget, manifest.latency, manifest.figures)
    return (*limits, *map(gate_check, manifest.verification.gates))


def manifest_skips(manifest: Manifest) -> tuple[Skip, ...]:
    """The limits of the budget and the gates that were not looked at."""
    return (*budget_skips(manifest.budget, manifest.latency), *gate_skips(manifest.verification))


def frontier_plot(manifest: Manifest) -> Plot:
    """The candidates of the search: capacity over median latency, a series for each pattern and precision."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in manifest.frontier:
        xs, ys = series.setdefault(f"{row.pattern} {row.precision}", ([], []))
        xs.append(row.p50_ms)
        ys.append(100 * row.capacity)
    limit = manifest.budget.latency_ms
    title = "capacity over median latency" + ("" if limit is None else f", budget {limit:g} ms")
    return Plot(title, series, x_unit="ms", y_unit="%", limit=limit)


def frontier_table(manifest: Manifest) -> Table:
    """A table of every candidate that was measured or predicted."""
    label = f"p{manifest.budget.percentile:g} <= ms"
    rows = tuple(
        (
            row.pattern,
            f"{row.capacity:.1%}",
            row.precision,
            row.p50_ms,
            row.upper_ms,
            row.size_mb,
            row.n,
            row.source,
            "yes" if row.inside else "no",
        )
        for row in manifest.frontier
    )
    columns = ("pattern", "capacity", "precision", "p50 ms", label, "MB", "n", "source", "inside")
    return Table("candidates", columns, rows)


def threshold_table(verification: VerificationEntry) -> Table:
    """A table of the thresholds of the teacher and of the artifact, with a row for each false-accept rate."""
    rows = tuple(
        (f"{one.false_accept_rate:.2g}", f"{one.teacher:.4g}", f"{one.artifact:.4g}", f"{one.pairs:,}")
        for one in verification.match_thresholds
    )
    accepted = "distance at most" if verification.gallery.metric == "l2" else "similarity at least"
    columns = ("false-accept rate", f"teacher: {accepted}", f"artifact: {accepted}", "pairs")
    return Table("threshold of a match", columns, rows)
