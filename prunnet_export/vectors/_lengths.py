"""The lengths of stored vectors, and what they say against a stated metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prunnet_export.vectors._metrics import Metric, Vectors

# float16 and int8 change the length of a unit vector by less.
_UNIT = 0.02


@dataclass(frozen=True)
class Lengths:
    """Lengths of vectors.

    Attributes:
        count: How many vectors were measured.
        least: The shortest length.
        greatest: The greatest length.
        mean: The mean length.
    """

    count: int
    least: float
    greatest: float
    mean: float

    @property
    def are_unit(self) -> bool:
        """Whether all are unit vectors. Cosine, dot product and L2 then order them alike."""
        return 1 - _UNIT <= self.least <= self.greatest <= 1 + _UNIT


def lengths(chunks: Iterable[tuple[int, Vectors]]) -> Lengths:
    """The lengths of all vectors.

    Args:
        chunks: At least one part, as ``StoredVectors.chunks`` gives them: a row number and float32 [k, d].
    """
    count, total, least, greatest = 0, 0.0, np.inf, 0.0
    for _, rows in chunks:
        found = np.linalg.norm(rows.astype(np.float64), axis=1)
        count += len(found)
        total += float(found.sum())
        least = min(least, float(found.min(initial=np.inf)))
        greatest = max(greatest, float(found.max(initial=0)))
    return Lengths(count, float(least), float(greatest), total / count)


def metric_fault(stated: Metric, of_file: Metric | None, gallery: Lengths, teacher: Lengths) -> str | None:
    """What contradicts a stated metric: one sentence, or None if nothing does.

    Args:
        stated: The metric that the user states.
        of_file: The metric that the file of the gallery states, or None.
        gallery: The lengths of the gallery's vectors.
        teacher: The lengths of the teacher's own vectors of its queries, before any normalisation.
    """
    span = f"{gallery.least:.3g} to {gallery.greatest:.3g}"
    if not gallery.are_unit and of_file is not None and of_file != stated:
        return (
            f"the metric is stated as {stated}, but the file says {of_file}; its vectors have lengths of {span}, "
            "so the two order them differently"
        )
    if stated == "l2" and gallery.are_unit != teacher.are_unit:
        return (
            f"the metric is stated as l2, but the gallery's vectors have lengths of {span} and the teacher's of "
            f"{teacher.least:.3g} to {teacher.greatest:.3g}: only one of them is normalised"
        )
    return None
