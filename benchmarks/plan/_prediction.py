"""Prediction of a training from its trial: a ridge regression over runs that were measured.

A network that starts from weights gains much less after its trial than one with random weights. So each of the two
kinds of runs has a regression of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from prunnet_export.benchmarks.plan._runs import Figures, MeasuredRun

Figure = Literal["recall", "overlap"]
Values = npt.NDArray[np.float64]
KINDS = {False: "random weights", True: "given weights"}
"""What a run starts from, by :attr:`MeasuredRun.weights`."""
FEATURES = ("steps", "steps x capacity", "steps x overlap")
MIN_GROUPS = 3
"""Least number of (teacher, data) pairs to predict from; with fewer, one left out cannot be predicted by the others."""
_EDGE = 0.003  # shares are kept this far from 0 and 1, so that their logits are finite
_STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # of the ridge, in rows
_COVERED = 0.9  # share of the cells left out that are inside the interval
_OUTSIDE = 2.0  # factor of the interval for what is unlike all measured runs: an assumption, not a statistic


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a plan knows of one capacity before the training.

    Attributes:
        trial: The figure after the trial, as a share of the teacher's own.
        overlap: The overlap@10 after the trial.
        trial_steps: Steps of the trial.
        steps: Steps of the training.
        capacity: The capacity.
    """

    trial: float
    overlap: float
    trial_steps: int
    steps: int
    capacity: float

    def features(self) -> list[float]:
        """The values of :data:`FEATURES`. Without more steps than those of the trial there is nothing to gain."""
        more = math.log10(self.steps / self.trial_steps)
        return [more, more * math.log10(self.capacity), more * _logit(self.overlap)]


@dataclass(frozen=True)
class Prediction:
    """A predicted figure, as a share of the teacher's own.

    Attributes:
        value: The prediction.
        low: Lower end of the 90 % interval.
        high: Upper end.
        outside: Whether the case is unlike all measured runs, so that the interval is twice as wide.
    """

    value: float
    low: float
    high: float
    outside: bool


@dataclass(frozen=True, eq=False)
class Row:
    """One measured capacity.

    Attributes:
        run: The run.
        case: What its plan knew.
        measured: The figure after the training, as a share of the teacher's own.
        divisor: The teacher's own figure.
    """

    run: MeasuredRun
    case: Case
    measured: float
    divisor: float

    @property
    def group(self) -> tuple[str, str]:
        """The teacher and the data set of the run."""
        return self.run.group


@dataclass(frozen=True, eq=False)
class Model:
    """logit(share after training) - logit(share after the trial), linear in :data:`FEATURES`.

    Attributes:
        coefficients: One for each feature.
        strength: Strength of the ridge.
        spread: Half of the 90 % interval of the logit, from cells of (teacher, data) pairs that were left out.
        least: The least value of each feature in the measured runs.
        most: The largest.
        cells: Number of measured cells.
        groups: Number of (teacher, data) pairs.
    """

    coefficients: Values
    strength: float
    spread: float
    least: Values
    most: Values
    cells: int
    groups: int

    def predict(self, case: Case) -> Prediction:
        """The figure after the whole training."""
        features = np.array(case.features())
        # More steps of the same recipe are not expected to harm.
        logit = _logit(case.trial) + max(0.0, float(features @ self.coefficients))
        outside = bool(((features < self.least - 1e-9) | (features > self.most + 1e-9)).any())
        spread = self.spread * (_OUTSIDE if outside else 1)
        return Prediction(_share(logit), _share(logit - spread), _share(logit + spread), outside)


def rows_of(runs: Sequence[MeasuredRun], figure: Figure, *, weights: bool) -> list[Row]:
    """The measured cells of a figure.

    Args:
        runs: The runs. Those without labels have no R@1.
        figure: The figure.
        weights: Whether to take the runs that started from weights, or those with random weights.
    """
    found = []
    for run in runs:
        divisor = run.self_test if figure == "recall" else 1.0
        if not divisor or run.weights != weights:
            continue
        for cell in run.cells:
            case = Case(
                trial=value_of(cell.trial, figure) / divisor,
                overlap=cell.trial.overlap,
                trial_steps=run.trial_steps,
                steps=run.steps,
                capacity=cell.capacity,
            )
            found.append(Row(run, case, value_of(cell.measured, figure) / divisor, divisor))
    return found


def value_of(figures: Figures, figure: Figure) -> float:
    """The figure of this name; a missing R@1 is 0."""
    return (figures.recall or 0.0) if figure == "recall" else figures.overlap


def fit(rows: Sequence[Row]) -> Model | None:
    """Fit measured cells; None if they are of fewer than three (teacher, data) pairs.

    The ridge's strength has the least error on pairs that are left out.
    """
    groups = {row.group for row in rows}
    if len(groups) < MIN_GROUPS:
        return None
    strength = min(_STRENGTHS, key=lambda one: float(np.abs(_left_out_errors(rows, one)).mean()))
    features = np.array([row.case.features() for row in rows])
    errors = np.sort(np.abs(_left_out_errors(rows, strength)))
    rank = min(len(errors), math.ceil(_COVERED * (len(errors) + 1)))
    return Model(
        coefficients=_coefficients(rows, strength),
        strength=strength,
        spread=float(errors[rank - 1]),
        least=features.min(axis=0),
        most=features.max(axis=0),
        cells=len(rows),
        groups=len(groups),
    )


def left_out(rows: Sequence[Row]) -> Iterator[tuple[Row, Prediction]]:
    """Every cell, with its prediction from all cells of other (teacher, data) pairs only."""
    for group in sorted({row.group for row in rows}):
        model = fit([row for row in rows if row.group != group])
        if model is not None:
            yield from ((row, model.predict(row.case)) for row in rows if row.group == group)


def _left_out_errors(rows: Sequence[Row], strength: float) -> Values:
    """The error of the logit of each cell, predicted from the cells of other pairs."""
    errors = []
    for group in sorted({row.group for row in rows}):
        coefficients = _coefficients([row for row in rows if row.group != group], strength)
        mine = [row for row in rows if row.group == group]
        errors += [_gain(row) - float(np.array(row.case.features()) @ coefficients) for row in mine]
    return np.array(errors)


def _coefficients(rows: Sequence[Row], strength: float) -> Values:
    """Ridge regression through the origin; the coefficient of the steps is not shrunk."""
    features = np.array([row.case.features() for row in rows])
    gains = np.array([_gain(row) for row in rows])
    penalty = np.diag([0.0] + [strength] * (features.shape[1] - 1))
    # If no training was longer than its trial, all features are 0, and so are the coefficients of least squares.
    found: Values = np.linalg.lstsq(features.T @ features + penalty, features.T @ gains, rcond=None)[0]
    return found


def _gain(row: Row) -> float:
    return _logit(row.measured) - _logit(row.case.trial)


def _logit(share: float) -> float:
    inside = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
