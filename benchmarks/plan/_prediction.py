"""Prediction of a training from two trials of different length: a line, over the logarithm of the steps.

The logit of a figure grows almost evenly with the logarithm of the steps. So what it gained from the shorter trial to
the longer one says what it will gain after that. Measured runs say how straight the line is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from prunnet_export.benchmarks.plan._runs import Figures, MeasuredRun

Figure = Literal["recall", "overlap"]
FIGURES: dict[Figure, str] = {"recall": "R@1", "overlap": "overlap@10"}
"""The names that reports give to the figures."""
MIN_GROUPS = 3
"""Least number of (teacher, data) pairs to predict from; with fewer, one left out cannot be predicted by the others."""
_EDGE = 0.003  # shares are kept this far from 0 and 1, so that their logits are finite
_FACTORS = [step / 20 for step in range(41)]  # that are tried, 0 to 2
_LEAST_REACH = 0.1  # of measured runs; if their trials were as long as their trainings, they say nothing of a line
_COVERED = 0.9  # share of the cells left out that are inside the interval


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a plan knows of one capacity before the training.

    Attributes:
        shorter: The figure after the shorter trial, as a share of the teacher's own.
        longer: The figure after the longer trial.
        shorter_steps: Steps of the shorter trial.
        longer_steps: Steps of the longer trial.
        steps: Steps of the training.
        own: The teacher's own figure; 1 for overlaps.
    """

    shorter: float
    longer: float
    shorter_steps: int
    longer_steps: int
    steps: int
    own: float

    @property
    def reach(self) -> float:
        """How far the line is prolonged: decades of steps after the longer trial, over those between the trials."""
        return max(0.0, math.log(self.steps / self.longer_steps) / math.log(self.longer_steps / self.shorter_steps))

    def after_training(self, factor: float) -> float:
        """The share after the training, if the line goes on with its slope times ``factor``, but does not fall."""
        gained = max(0.0, _logit(self.longer) - _logit(self.shorter))
        return max(self.longer, _share(_logit(self.longer) + factor * self.reach * gained))


@dataclass(frozen=True)
class Prediction:
    """A predicted figure, as a share of the teacher's own.

    Attributes:
        value: The prediction.
        low: Lower end of the 90 % interval.
        high: Upper end.
        widened: Whether the interval is wider than that of the measured runs, because their trials were longer.
    """

    value: float
    low: float
    high: float
    widened: bool


@dataclass(frozen=True, eq=False)
class Row:
    """One measured capacity.

    Attributes:
        run: The run.
        capacity: The capacity.
        case: What its plan knew.
        measured: The figure after the training, as a share of the teacher's own.
    """

    run: MeasuredRun
    capacity: float
    case: Case
    measured: float

    @property
    def group(self) -> tuple[str, str]:
        """The teacher and the data set of the run."""
        return self.run.group


@dataclass(frozen=True)
class Model:
    """What the measured runs say of the line.

    Attributes:
        factor: The slope after the trials, over the slope between them.
        half_width: Half of the 90 % interval of the figure, from cells of (teacher, data) pairs that were left out.
        reach: The furthest that a line was prolonged; see :attr:`Case.reach`.
        shorter_steps: Steps of the shortest trial.
        cells: Number of measured cells.
        groups: Number of (teacher, data) pairs.
    """

    factor: float
    half_width: float
    reach: float
    shorter_steps: int
    cells: int
    groups: int

    def predict(self, case: Case) -> Prediction:
        """The figure after the whole training.

        A line that goes on further than any measured one is less certain in proportion, and so is one from fewer steps.
        This proportion is an assumption, not a statistic.
        """
        value = case.after_training(self.factor)
        further = case.reach / max(self.reach, _LEAST_REACH)
        wider = max(1.0, further, self.shorter_steps / case.shorter_steps)
        half = wider * self.half_width / case.own
        return Prediction(value, max(0.0, value - half), min(1 / case.own, value + half), wider > 1)


def rows_of(runs: Sequence[MeasuredRun], figure: Figure) -> list[Row]:
    """The measured cells of a figure. Runs without labels have no R@1."""
    found = []
    for run in runs:
        own = run.self_test if figure == "recall" else 1.0
        if not own:
            continue
        for cell in run.cells:
            case = Case(
                shorter=value_of(cell.shorter, figure) / own,
                longer=value_of(cell.longer, figure) / own,
                shorter_steps=run.shorter_steps,
                longer_steps=run.longer_steps,
                steps=run.steps,
                own=own,
            )
            found.append(Row(run, cell.capacity, case, value_of(cell.measured, figure) / own))
    return found


def value_of(figures: Figures, figure: Figure) -> float:
    """The figure of this name; a missing R@1 is 0."""
    return (figures.recall or 0.0) if figure == "recall" else figures.overlap


def fit(rows: Sequence[Row]) -> Model | None:
    """Fit measured cells; None if they are of fewer than three (teacher, data) pairs."""
    groups = {row.group for row in rows}
    if len(groups) < MIN_GROUPS:
        return None
    errors = []
    for group in groups:
        factor = _factor([row for row in rows if row.group != group])
        errors += _errors([row for row in rows if row.group == group], factor)
    rank = min(len(errors), math.ceil(_COVERED * (len(errors) + 1)))
    return Model(
        factor=_factor(rows),
        half_width=sorted(errors)[rank - 1],
        reach=max(row.case.reach for row in rows),
        shorter_steps=min(row.case.shorter_steps for row in rows),
        cells=len(rows),
        groups=len(groups),
    )


def left_out(rows: Sequence[Row]) -> Iterator[tuple[Row, Prediction]]:
    """Every cell, with its prediction from all cells of other (teacher, data) pairs only."""
    for group in sorted({row.group for row in rows}):
        model = fit([row for row in rows if row.group != group])
        if model is not None:
            yield from ((row, model.predict(row.case)) for row in rows if row.group == group)


def _factor(rows: Sequence[Row]) -> float:
    """The factor with the least mean error of the figure.

    Errors of logits would count cells most that are as good as the teacher, where a logit says little. Errors of shares
    would count those of a poor teacher most, where few queries decide.
    """
    return min(_FACTORS, key=lambda one: sum(_errors(rows, one)))


def _errors(rows: Sequence[Row], factor: float) -> list[float]:
    """The error of each figure, not as a share."""
    return [abs(row.case.after_training(factor) - row.measured) * row.case.own for row in rows]


def _logit(share: float) -> float:
    inside = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
