"""Thresholds of a match: at which one does the artifact accept as many wrong pairs as the teacher?

A student's similarities to the right and the wrong images are smaller than the teacher's. So a service that accepts a
match above a threshold needs another threshold for the student's queries.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import UsageError
from prunnet_export.artifact import MatchThreshold
from prunnet_export.vectors import Metric

RATES = (1e-2, 1e-3, 1e-4)
_LEAST_ACCEPTED = 10  # fewer accepted pairs say little about a rate

Scores = npt.NDArray[np.float32]


def check_threshold(asked: float, metric: Metric) -> None:
    """Raise UsageError if no pair can have this similarity, or for ``l2`` this distance."""
    least, largest = {"cosine": (-1.0, 1.0), "dot": (-math.inf, math.inf), "l2": (0.0, math.inf)}[metric]
    if not (math.isfinite(asked) and least <= asked <= largest):
        what = "distance of l2" if metric == "l2" else f"similarity of {metric}"
        usual = {"cosine": "a number from -1 to 1", "dot": "a finite number", "l2": "a finite number from 0"}[metric]
        raise UsageError(f"--teacher-threshold {asked:g} is no {what}", hint=f"give {usual}")


def why_no_threshold(teacher: Scores, metric: Metric, *, asked: float | None = None) -> str | None:
    """Why :func:`match_thresholds` gives none for these similarities; None if it gives some."""
    counts, pairs = _accepted(teacher, metric, asked), len(teacher)
    if max(counts) >= _LEAST_ACCEPTED:
        return None
    if asked is None:
        return f"{pairs:,} wrong pairs are too few for a threshold; the rate {RATES[0]:g} needs about 1,000"
    return (
        f"the teacher accepts {counts[0]} of {pairs:,} wrong pairs at {asked:g}, too few for a threshold; at least"
        f" {_LEAST_ACCEPTED} are needed"
    )


def match_thresholds(
    teacher: Scores, artifact: Scores, metric: Metric, *, asked: float | None = None
) -> list[MatchThreshold]:
    """The thresholds at which teacher and artifact accept the same number of wrong pairs.

    If k of the pairs are accepted, the threshold is the k-th largest similarity of each.

    Args:
        teacher: Similarities float32 [pairs] of queries and gallery vectors that do not match, by the teacher.
        artifact: The artifact's similarities float32 [pairs] of the same pairs.
        metric: The metric; with ``l2``, similarities are negative distances, and thresholds are distances.
        asked: The teacher's threshold; None takes the false-accept rates 1e-2, 1e-3 and 1e-4.

    Returns:
        An entry for each rate at which at least 10 pairs are accepted.
    """
    sign, pairs = _sign(metric), len(teacher)
    accepted = [count for count in _accepted(teacher, metric, asked) if count >= _LEAST_ACCEPTED]
    if not accepted:
        return []
    places = [pairs - count for count in accepted]
    found = [np.partition(scores, places)[places] for scores in (teacher, artifact)]
    return [
        MatchThreshold(
            false_accept_rate=count / pairs,
            pairs=pairs,
            teacher=float(sign * of_teacher) if asked is None else asked,
            artifact=float(sign * of_artifact),
        )
        for count, of_teacher, of_artifact in zip(accepted, *found, strict=True)
    ]


def _accepted(teacher: Scores, metric: Metric, asked: float | None) -> list[int]:
    """The number of pairs that are accepted at the teacher's threshold, or at each of the usual rates."""
    if asked is None:
        return [round(rate * len(teacher)) for rate in RATES]
    return [int((teacher >= _sign(metric) * asked).sum())]


def _sign(metric: Metric) -> int:
    """Of a distance, so that more is more similar."""
    return -1 if metric == "l2" else 1
