"""Prediction: what a network asks of a machine, and how long that would take on one that is not here."""

from prunnet_export.prediction._predictor import Predictor
from prunnet_export.prediction._table import DENSE, Calibration, CalibrationRow, find_calibrations, read_calibration
from prunnet_export.prediction._workload import Workload, read_workload

__all__ = [
    "DENSE",
    "Calibration",
    "CalibrationRow",
    "Predictor",
    "Workload",
    "find_calibrations",
    "read_calibration",
    "read_workload",
]
