"""The lengths of stored vectors, and what they say against a stated metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prunnet_export.vectors._forms import Stored
from prunnet_export.vectors._metrics import Metric, Vectors
from prunnet_export.vectors._same import are_few

# float16 and int8 change the length of a unit vector by less.
_UNIT = 0.02
# Another processor, decoder or form changes the length of a vector by a smaller share. Binary codes have no lengths.
_CHANGED: dict[Stored, float] = {"float32": 0.05, "float16": 0.05, "int8": 0.2, "faiss": 0.5}


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


def length_fault(stated: Metric, expected: Vectors, found: Vectors, stored: Stored) -> str | None:
    """What the lengths of the same images' vectors say against a metric that depends on them: a sentence, or None.

    ``dot`` needs lengths in the teacher's proportions, ``l2`` the lengths themselves. A few images may have been
    replaced, see :func:`prunnet_export.vectors.same_vectors`.

    Args:
        stated: The metric that the user states.
        expected: float32 [n, d], the model's vectors as it gives them, not zero.
        found: float32 [n, d], the gallery's vectors of the same images, not zero.
        stored: How the gallery stores them.
    """
    if stated == "cosine" or stored not in _CHANGED:
        return None
    ratios = np.linalg.norm(found.astype(np.float64), axis=1) / np.linalg.norm(expected.astype(np.float64), axis=1)
    usual, most = float(np.median(ratios)), _CHANGED[stored]
    others = int((np.abs(ratios / usual - 1) > most).sum())
    if not are_few(others, len(ratios)):
        return (
            f"the metric is stated as {stated}, but {others} of {len(ratios)} vectors have other lengths: they are "
            f"{ratios.min():.3g} to {ratios.max():.3g} times as long as the teacher's"
        )
    if stated == "l2" and abs(usual - 1) > most:
        return f"the metric is stated as l2, but the vectors are {usual:.3g} times as long as the teacher's"
    return None
