"""The tables of methods whose queries search the gallery of a teacher."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from prunnet_export._numbers import percent
from prunnet_export.benchmarks._methods_cells import mean_and_spread, summary
from prunnet_export.benchmarks._methods_match import NEIGHBOURS, MatchFigures, MatchRun
from prunnet_export.benchmarks.methods import Settings
from prunnet_export.reports import Cell, Report, Table

_FIGURES = ("cross_r1", "cross_map", "overlap")


def matching_report(settings: Settings, data: str, folder: Path, runs: Sequence[MatchRun]) -> Report:
    """The report on finished runs: R@1 in % and as a share of the teacher's, and the overlap of neighbours."""
    by_method: dict[str, list[MatchRun]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(run)
    evaluated = {one.capacity for run in runs for one in run.refitted} | set(settings.capacities)
    capacities = sorted(evaluated | {1.0}, reverse=True)
    first, name = runs[0], "the teacher" if settings.match is None else settings.match.teacher
    title = (
        f"{data}: R@1 in % in the gallery of {name}, and in brackets in % of its self-test ({first.teacher_r1:.1%}),"
    )
    title += f" {first.n_queries} queries, {first.n_gallery} gallery images"
    columns = ("method", "seeds", "steps", "cost", "dense", *(percent(one) for one in capacities if one < 1))

    def table(title: str, kind: str, cell: Callable[[Sequence[MatchFigures]], str]) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for method, of_method in by_method.items():
            steps = f"{statistics.fmean(run.steps for run in of_method):.0f}"
            cost = f"{statistics.fmean(run.cost for run in of_method):.2f}"
            cells = (cell(found) if found else None for found in _by_capacity(of_method, kind, capacities).values())
            rows.append((method, len(of_method), steps, cost, *cells))
        return Table(title, columns, tuple(rows))

    def recall(found: Sequence[MatchFigures]) -> str:
        values = [one.cross_r1 for one in found]
        share = statistics.fmean(values) / first.teacher_r1 if first.teacher_r1 else 0.0
        return f"{mean_and_spread(values)} ({100 * share:.1f})"

    return Report(
        title="methods",
        tables=(
            table(f"{title}, every projector refitted to the teacher's vectors", "refitted", recall),
            table("the same, every projector as it was cut or trained", "trained", recall),
            table(
                f"overlap with the teacher's {NEIGHBOURS} nearest images in %, every projector refitted",
                "refitted",
                lambda found: mean_and_spread([one.overlap for one in found]),
            ),
        ),
        document={
            "settings": msgspec.to_builtins(settings),
            "data": data,
            "folder": str(folder),
            "teacher": {"r1": first.teacher_r1, "map": first.teacher_map},
            "rows": [_entry(method, of_method, capacities) for method, of_method in by_method.items()],
            "runs": [msgspec.to_builtins(run) for run in runs],
        },
        footer=(
            "steps: of each network that the method trains",
            "cost: forward and backward passes of all of them; 1 is to train one dense network in the steps of nested",
            f"runs: {folder}",
        ),
    )


def _entry(method: str, runs: Sequence[MatchRun], capacities: Sequence[float]) -> dict[str, Any]:
    kinds = {
        kind: {f"{c:g}": summary(found, _FIGURES) for c, found in _by_capacity(runs, kind, capacities).items()}
        for kind in ("trained", "refitted")
    }
    return {"row": method, "cost": statistics.fmean(run.cost for run in runs), **kinds}


def _by_capacity(runs: Sequence[MatchRun], kind: str, capacities: Sequence[float]) -> dict[float, list[MatchFigures]]:
    figures: list[MatchFigures] = [one for run in runs for one in getattr(run, kind)]
    return {capacity: [one for one in figures if one.capacity == capacity] for capacity in capacities}
