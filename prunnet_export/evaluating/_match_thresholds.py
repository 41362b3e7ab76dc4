"""Thresholds of a match: at which one does the artifact accept as many wrong pairs as the teacher?

A student's similarities to the right and the wrong images are smaller than the teacher's. So a service that accepts a
match above a threshold needs another threshold for the student's queries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prunnet_export.artifact import MatchThreshold
from prunnet_export.vectors import Metric

RATES = (1e-2, 1e-3, 1e-4)
_LEAST_ACCEPTED = 10  # fewer accepted pairs say little about a rate

Scores = npt.NDArray[np.float32]


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
    sign = -1 if metric == "l2" else 1
    pairs = len(teacher)
    counts = [int(rate * pairs) for rate in RATES] if asked is None else [int((teacher >= sign * asked).sum())]
    accepted = [count for count in counts if count >= _LEAST_ACCEPTED]
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
