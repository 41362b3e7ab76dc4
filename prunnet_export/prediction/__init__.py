"""Prediction: the workload of a model, and its latency on a device that is not at hand."""

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
