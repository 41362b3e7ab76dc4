"""What a manifest says, as parts of a report."""

from __future__ import annotations

from typing import Any

import msgspec

from prunnet_export.artifact._manifest import Gate, Manifest
from prunnet_export.budget import Budget, Figures
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Check, Table


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    """The figures of a manifest as one JSON document."""
    whole: dict[str, Any] = msgspec.to_builtins(manifest)
    document = {
        "status": whole["status"],
        "reasons": whole["reasons"],
        "target": whole["target"],
        "runtime": whole["runtime"],
        "device": whole["device"],
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
    """Each limit of a budget, as something that passed or failed.

    Args:
        budget: What was allowed.
        latency: What was measured, or predicted.
        figures: What is held against the budget.
    """
    limits = budget.limits(figures)
    came_out = [str(latency) if limit.name == "latency" else f"{limit.figure:.3g} {limit.unit}" for limit in limits]
    return [
        Check(f"{limit.name} budget", limit.inside, f"{one}, budget {limit.allowed:g} {limit.unit}")
        for limit, one in zip(limits, came_out, strict=True)
    ]


def gate_check(gate: Gate) -> Check:
    """A gate, as something that passed or failed."""
    asked = "reported" if gate.threshold is None else f"asked {gate.comparison} {gate.threshold:.4g}"
    return Check(gate.name, gate.passed, f"{gate.value:.4g}, {asked}, n {gate.n}: {gate.note}")


def manifest_checks(manifest: Manifest) -> tuple[Check, ...]:
    """The budget and every gate of an artifact, as things that passed or failed."""
    limits = budget_checks(manifest.budget, manifest.latency, manifest.figures)
    return (*limits, *map(gate_check, manifest.verification.gates))


def frontier_table(manifest: Manifest) -> Table:
    """Every candidate that was looked at."""
    label = f"p{manifest.budget.percentile:g} <= ms"
    rows = tuple(
        (
            e.pattern,
            f"{e.capacity:.1%}",
            e.precision,
            e.p50_ms,
            e.upper_ms,
            e.size_mb,
            e.n,
            e.source,
            "yes" if e.inside else "no",
        )
        for e in manifest.frontier
    )
    columns = ("pattern", "capacity", "precision", "p50 ms", label, "MB", "n", "source", "inside")
    return Table("candidates", columns, rows)
