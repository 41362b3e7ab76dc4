"""Measuring: what turns samples into a latency that a budget can be held against."""

from prunnet_export.measuring._report import UNSTEADY, LatencyReport, Source, summarise
from prunnet_export.measuring._statistics import (
    CONFIDENCES,
    check_confidence,
    coefficient_of_variation,
    percentile,
    percentile_upper_bound,
    prediction_bound,
    samples_needed,
)

__all__ = [
    "CONFIDENCES",
    "UNSTEADY",
    "LatencyReport",
    "Source",
    "check_confidence",
    "coefficient_of_variation",
    "percentile",
    "percentile_upper_bound",
    "prediction_bound",
    "samples_needed",
    "summarise",
]
