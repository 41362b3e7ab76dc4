"""``prunnet-bench plan-accuracy``: how well runs are predicted by the runs of other teachers and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._numbers import percent
from prunnet_export.benchmarks.plan._prediction import (
    FIGURES,
    MIN_GROUPS,
    Figure,
    Model,
    fit,
    left_out,
    rows_of,
    value_of,
)
from prunnet_export.benchmarks.plan._runs import MeasuredRun, read_runs
from prunnet_export.reports import Report, Table, print_report
from prunnet_export.thresholds import Thresholds

NEAR = 0.03
"""An error up to this is called near: 3 points."""


@dataclass(frozen=True)
class Judged:
    """A capacity of a run that was predicted by the runs of other (teacher, data) pairs only.

    Attributes:
        predicted: The predicted figure, not a share.
        measured: The measured figure.
        low: Lower end of the 90 % interval.
        high: Upper end.
    """

    teacher: str
    data: str
    weights: bool
    steps: int
    capacity: float
    predicted: float
    measured: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether it is inside the 90 % interval."""
        return self.low <= self.measured <= self.high

    @property
    def near(self) -> bool:
        """Whether the prediction is at most 3 points away."""
        return abs(self.predicted - self.measured) <= NEAR


def accuracy(file: Path, output_format: str) -> int:
    """Print how well the runs in a file are predicted.

    Raises:
        InvalidInput: the file is no file of runs, or holds too few of them.
    """
    runs = read_runs(file)
    judged = {figure: judge(runs, figure) for figure in FIGURES}
    if not any(judged.values()):
        raise InvalidInput(
            f"{file} has runs of {len({run.group for run in runs})} pairs of teacher and data",
            hint=f"{MIN_GROUPS + 1} or more are needed to leave one out",
        )
    adapters = adapter_verdicts(runs)
    models = {figure: model for figure in FIGURES if (model := fit(rows_of(runs, figure))) is not None}
    tables = [_table(figure, cells) for figure, cells in judged.items() if cells]
    print_report(
        Report(
            title="accuracy of plan",
            tables=(*tables, _models_table(models)),
            document={
                "runs": len(runs),
                "cells": {figure: [asdict(cell) for cell in cells] for figure, cells in judged.items()},
                "near": {figure: sum(cell.near for cell in cells) for figure, cells in judged.items()},
                "models": {figure: asdict(model) for figure, model in models.items()},
                "adapter_right": sum(adapters),
                "adapter_verdicts": len(adapters),
            },
            footer=(
                *(_summary(figure, cells) for figure, cells in judged.items() if cells),
                f"the verdict on the adapter is right in {sum(adapters)} of {len(adapters)} runs",
            ),
        ),
        output_format,
    )
    return 0


def judge(runs: Sequence[MeasuredRun], figure: Figure) -> list[Judged]:
    """Each cell beside its prediction from runs with other pairs of teacher and data."""
    return [
        Judged(
            teacher=row.group[0],
            data=row.group[1],
            weights=row.run.weights,
            steps=row.run.steps,
            capacity=row.capacity,
            predicted=one.value * row.case.own,
            measured=row.measured * row.case.own,
            low=one.low * row.case.own,
            high=one.high * row.case.own,
        )
        for row, one in left_out(rows_of(runs, figure))
    ]


def adapter_verdicts(runs: Sequence[MeasuredRun]) -> list[bool]:
    """Whether each plan said correctly if the linear map passes the default gate, with all images."""
    thresholds, found = Thresholds(), []
    for run in runs:
        figure: Figure = "overlap" if run.self_test is None else "recall"
        gate = thresholds.overlap if run.self_test is None else thresholds.recall * run.self_test
        found.append((value_of(run.adapter, figure) >= gate) == (value_of(run.adapter_measured, figure) >= gate))
    return found


def _summary(figure: Figure, cells: Sequence[Judged]) -> str:
    near, inside = sum(cell.near for cell in cells), sum(cell.inside for cell in cells)
    return f"{FIGURES[figure]}: {near} of {len(cells)} cells within 3 points, {inside} inside their 90 % interval"


def _table(figure: Figure, cells: Sequence[Judged]) -> Table:
    name = FIGURES[figure]
    columns = ("teacher", "data", "start", "steps", "capacity", "predicted", "measured", "points off", "near")
    rows = tuple(
        (
            cell.teacher,
            cell.data,
            "given weights" if cell.weights else "random weights",
            cell.steps,
            percent(cell.capacity),
            f"{cell.predicted:.1%}",
            f"{cell.measured:.1%}",
            f"{100 * (cell.predicted - cell.measured):+.1f}",
            "yes" if cell.near else "no",
        )
        for cell in cells
    )
    return Table(f"{name}, each pair of teacher and data predicted by the others, n {len(cells)} cells", columns, rows)


def _models_table(models: Mapping[Figure, Model]) -> Table:
    rows = tuple(
        (
            FIGURES[figure],
            f"{model.factor:.2f}",
            f"{100 * model.half_width:.1f} points",
            f"{model.reach:.2f}",
            model.cells,
            model.groups,
        )
        for figure, model in models.items()
    )
    title = "the fit of all runs: f is the slope after the trials, over that between them"
    return Table(title, ("figure", "f", "half of the 90 % interval", "reach, at most", "cells", "pairs"), rows)
