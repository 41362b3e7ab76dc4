"""Prediction: what a network asks of a machine, and how long that would take on one that is not here."""

from prunnet_export.prediction._fit import Fit, fit, held_out, of_kind
from prunnet_export.prediction._predictor import Predictor
from prunnet_export.prediction._roofline import ROOM, roofline_ms
from prunnet_export.prediction._table import (
    DENSE,
    Calibration,
    CalibrationRow,
    find_calibrations,
    one_device,
    read_calibration,
)
from prunnet_export.prediction._workload import Layer, Workload, read_workload

__all__ = [
    "DENSE",
    "ROOM",
    "Calibration",
    "CalibrationRow",
    "Fit",
    "Layer",
    "Predictor",
    "Workload",
    "find_calibrations",
    "fit",
    "held_out",
    "of_kind",
    "one_device",
    "read_calibration",
    "read_workload",
    "roofline_ms",
]
