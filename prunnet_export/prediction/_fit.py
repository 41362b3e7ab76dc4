"""Latency from a calibration table: a linear model of the workload with coefficients that are not negative."""

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
MIN_ROWS_FOR_ERROR = 8  # with fewer rows, a fit of one half cannot predict the other half

_RIDGE = 1e-4  # small beside the noise of a measurement

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """t = a + b macs + c kept macs + d (weights + activations) + e layers, all coefficients >= 0.

    The fit minimises relative errors, so that a small network counts as much as a large one.

    Attributes:
        coefficients: a to e, milliseconds per unit.
        rows: Number of rows of the fit.
        error: Median relative error on rows that are not in the fit of the other half; None if there are too few rows.
        worst: 95th percentile of the same errors.
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
    """Fit the rows of one precision, the dense network and one pattern; raises InvalidInput if there are too few."""
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
    """The rows of one precision, the dense network and one pattern, sorted from little work to much."""
    chosen = [row for row in rows if row.precision == precision and row.pattern in {DENSE, pattern}]
    return sorted(chosen, key=lambda row: (row.macs, row.kept_macs, row.activations))


def held_out_errors(rows: Sequence[CalibrationRow]) -> Vector:
    """The relative error of each row: even rows are predicted by a fit of the odd rows, and odd rows by the even rows.

    It is relative to the smaller of prediction and measurement, so (1 + error) * prediction bounds the measurement.
    """
    errors = []
    for start in (0, 1):
        coefficients = _coefficients(rows[start::2])
        others = rows[1 - start :: 2]
        times = np.array([row.p50_ms for row in others])
        predicted = _features(others) @ coefficients
        errors.append(np.abs(predicted - times) / np.minimum(predicted, times))
    return np.concatenate(errors)


def _features(rows: Sequence[CalibrationRow]) -> Vector:
    return np.array(
        [[1, row.macs, row.kept_macs, row.weights + row.activations, row.layers] for row in rows], np.float64
    )


def _coefficients(rows: Sequence[CalibrationRow]) -> Vector:
    """Least squares of the relative error, with coefficients that are not negative.

    The rows of one backbone have the same number of layers, and with masks also the same multiply-adds. Such columns
    are proportional. A tiny ridge shares the cost among them. Without it all of the cost goes to one of them, and a
    network of another size gets the same prediction.
    """
    optimize = require("scipy.optimize", extra="host")
    features, times = _features(rows), np.array([row.p50_ms for row in rows])
    scale = features.max(axis=0)
    scale[scale == 0] = 1
    relative, columns = features / scale / times[:, None], features.shape[1]
    ridge = _RIDGE * np.abs(relative).max() * np.eye(columns)
    target = np.concatenate([np.ones(len(rows)), np.zeros(columns)])
    coefficients: Vector = optimize.nnls(np.vstack([relative, ridge]), target)[0] / scale
    return coefficients
