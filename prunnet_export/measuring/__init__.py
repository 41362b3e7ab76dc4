"""Measuring: from latency samples to a report with an upper bound, which a budget can limit."""

from prunnet_export.measuring._ratio import Ratio, ratio_of_groups, ratio_of_pairs
from prunnet_export.measuring._report import UNSTEADY, LatencyReport, Milliseconds, Part, PartLatency, Source, summarise
from prunnet_export.measuring._statistics import (
    check_confidence,
    coefficient_of_variation,
    percentile,
    probability_of_hits,
    samples_needed,
)

__all__ = [
    "UNSTEADY",
    "LatencyReport",
    "Milliseconds",
    "Part",
    "PartLatency",
    "Ratio",
    "Source",
    "check_confidence",
    "coefficient_of_variation",
    "percentile",
    "probability_of_hits",
    "ratio_of_groups",
    "ratio_of_pairs",
    "samples_needed",
    "summarise",
]
