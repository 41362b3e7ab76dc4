"""The report of a matrix: a test case for each gate of each cell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prunnet_export._numbers import significant
from prunnet_export.benchmarks._results import Result, Run
from prunnet_export.measuring import percentile
from prunnet_export.reports import Cell, Check, Failure, Report, Skip, Table

_COLUMNS = (
    *("cell", "result", "subnetwork", "source", "asked", "ms", "<= ms", "budget ms"),
    *("x anchor", "n", "MB", "cross R@1"),
)


def matrix_report(run: Run, footer: Sequence[str], *, every_check: bool = True) -> Report:
    """The report of a run.

    Args:
        run: The run.
        footer: Lines after the counts.
        every_check: Whether to list checks that passed too. The table shows each cell anyway.
    """
    return Report(
        title="prunnet-bench matrix",
        tables=(Table("cells", _COLUMNS, tuple(map(_row, run.results))),),
        checks=tuple(
            Check(f"{result.name}: {check.name}", check.passed, check.message)
            for result in run.results
            for check in result.checks
            if every_check or not check.passed
        ),
        document=msgspec.to_builtins(run),
        footer=(counts(run.results), *footer),
        failures=tuple(
            Failure(one.name, one.message, one.hint, one.exit_code) for one in run.results if one.status == "error"
        ),
        skips=tuple(Skip(one.name, one.message, one.hint) for one in run.results if one.status == "skipped")
        + tuple(Skip(f"{one.name}: {skip.name}", skip.message, skip.hint) for one in run.results for skip in one.skips),
    )


def counts(results: Sequence[Result]) -> str:
    """How many cells were measured, and how many were not; those that were predicted or emulated are counted apart."""
    parts = []
    for source in ("measured", "calibrated", "predicted", "emulated"):
        some = [one for one in results if one.latency is not None and one.latency.source == source]
        if some:
            passed = sum(one.status == "passed" for one in some)
            parts.append(f"{len(some)} {source} ({passed} passed, {len(some) - passed} failed)")
    statuses = [one.status for one in results]
    parts += [f"{statuses.count('error')} with an error"] if "error" in statuses else []
    parts += [f"{statuses.count('skipped')} skipped"] if "skipped" in statuses else []
    return f"{len(results)} cells: {', '.join(parts)}"


def _row(result: Result) -> tuple[Cell, ...]:
    latency, verification = result.latency, result.verification
    return (
        result.name,
        result.status,
        None if result.subnetwork is None else str(result.subnetwork),
        None if latency is None else latency.source,
        None if latency is None else f"p{latency.percentile:g}",
        None if latency is None else latency.percentile_ms,
        None if latency is None else latency.upper_ms,
        None if result.budget is None else result.budget.latency_ms,
        _ratio(result),
        None if latency is None else latency.n,
        result.size_mb,
        None if verification is None or verification.cross_r1 is None else f"{verification.cross_r1:.1%}",
    )


def _ratio(result: Result) -> str | None:
    """The median as a multiple of the anchor's, which was measured in turns with it."""
    if result.anchor is None or result.latency is None:
        return None
    samples = [sample for run in result.anchor.samples_ms for sample in run]
    return f"{significant(result.latency.p50_ms / percentile(samples, 50))}x" if samples else None
