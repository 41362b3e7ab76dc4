"""Latency out of a calibration table: a non-negative linear model of the work that a network asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.prediction._table import DENSE, CalibrationRow
from prunnet_export.prediction._workload import Workload

MIN_ROWS = 3
MIN_ROWS_FOR_ERROR = 8  # half of fewer rows says nothing about the other half

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """t = a + b macs + c kept macs + d (weights + activations) + e layers, all coefficients >= 0.

    Fitted to relative errors, so that a small network counts as much as a large one.

    Attributes:
        coefficients: a to e, milliseconds per unit.
        rows: How many it was fitted to.
        error: Median relative error on rows that a fit of the other half did not see; None where there are too few.
        worst: The 95th percentile of the same.
    """

    coefficients: Vector
    rows: int
    error: float | None
    worst: float | None

    def p50_ms(self, workload: Workload) -> float:
        """The median latency of one image."""
        work = (workload.macs, workload.kept_macs, workload.weights + workload.activations, len(workload.layers))
        return float(np.array([1, *work]) @ self.coefficients)


def fit(rows: Sequence[CalibrationRow], *, pattern: str, precision: str) -> Fit:
    """A model of what was measured in one precision, of the dense network and one pattern; InvalidInput of few rows."""
    chosen = select_rows(rows, pattern=pattern, precision=precision)
    if len(chosen) < MIN_ROWS:
        raise InvalidInput(
            f"{len(chosen)} calibration rows of {pattern} {precision}",
            hint=f"prunnet-bench calibrate --pattern {pattern} measures them on the device",
        )
    errors = held_out_errors(chosen) if len(chosen) >= MIN_ROWS_FOR_ERROR else np.array([])
    return Fit(
        coefficients=_coefficients(chosen),
        rows=len(chosen),
        error=float(np.median(errors)) if len(errors) else None,
        worst=float(np.quantile(errors, 0.95)) if len(errors) else None,
    )


def select_rows(rows: Sequence[CalibrationRow], *, pattern: str, precision: str) -> list[CalibrationRow]:
    """The rows of one precision, of the dense network and one pattern, from little work to much."""
    chosen = [row for row in rows if row.precision == precision and row.pattern in {DENSE, pattern}]
    return sorted(chosen, key=lambda row: (row.macs, row.kept_macs, row.activations))


def held_out_errors(rows: Sequence[CalibrationRow]) -> Vector:
    """Relative errors of every row under the fit of those that stand at the other parity.

    Relative to the smaller of prediction and measurement, so that 1 + the error times a prediction bounds both sides.
    """
    errors = []
    for start in (0, 1):
        coefficients = _coefficients(rows[start::2])
        others = rows[1 - start :: 2]
        times = np.array([row.p50_ms for row in others])
        said = _features(others) @ coefficients
        errors.append(np.abs(said - times) / np.minimum(said, times))
    return np.concatenate(errors)


def _features(rows: Sequence[CalibrationRow]) -> Vector:
    return np.array(
        [[1, row.macs, row.kept_macs, row.weights + row.activations, row.layers] for row in rows], np.float64
    )


def _coefficients(rows: Sequence[CalibrationRow]) -> Vector:
    """Least squares of the relative error, without negative coefficients."""
    optimize = require("scipy.optimize", extra="host")
    features, times = _features(rows), np.array([row.p50_ms for row in rows])
    scale = features.max(axis=0)
    scale[scale == 0] = 1
    coefficients: Vector = optimize.nnls(features / scale / times[:, None], np.ones(len(rows)))[0] / scale
    return coefficients
