"""Whether a gallery's vectors of some images are those that the model gives for the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export.measuring import probability_of_hits
from prunnet_export.vectors._diagnosis import diagnosis, row_cosines
from prunnet_export.vectors._forms import Stored, unit_vectors
from prunnet_export.vectors._metrics import Vectors

# The cosine that a vector keeps when it is stored in this form. Binary codes keep 97 % of their bits, which is a cosine
# of 0.94 to the signs. How much a compressed form of FAISS keeps depends on its codes.
_KEPT: dict[Stored, float] = {"float32": 0.9999, "float16": 0.999, "int8": 0.98, "binary": 0.94, "faiss": 0.7}
# Without the mean, which vectors of a model share, two vectors of one image keep more than this, and those of two
# images less. The image may have been decoded in another way, or the form may be a coarse one.
_SAME_IMAGE: dict[Stored, float] = {"float32": 0.95, "float16": 0.95, "int8": 0.9, "binary": 0.5, "faiss": 0.3}
# Exact forms show the rounding of another processor or decoder. It leaves at least this to most vectors.
_EXACT = {"float32", "float16"}
_OTHER_DECODER = 0.99
# Another form or preprocessing moves many vectors a little. More than this share is more than a tail of the form.
_MOVED = 0.1
# A few images may have been replaced since the gallery was made. More than 2 % of vectors that are of something else
# are no accident: then the rows or the models were mixed, or the gallery is out of date. The bound of 95 % keeps one
# replaced image among a few from deciding.
_REPLACED, _SURE = 0.02, 0.95
_FEWEST = 12  # the mean of fewer vectors is not that of the model


@dataclass(frozen=True, eq=False)
class SameVectors:
    """Whether found vectors are the expected ones.

    Attributes:
        same: True if each vector is the expected one, as exactly as its form allows. If not, and there is no reason,
            another processor made the vectors, or a few images were replaced since.
        worst: The smallest cosine of an expected vector to the found one; for binary codes, to the signs.
        median: The median of these cosines.
        tolerance: The cosine that each vector has to reach.
        differing: int64, the rows that do not reach it.
        others: int64, those of them that are of something else than the image. If the whole gallery is, ``differing``.
        reason: Why the gallery is not the model's, in one sentence; empty if it may be.
    """

    same: bool
    worst: float
    median: float
    tolerance: float
    differing: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]
    reason: str


def same_vectors(expected: Vectors, found: Vectors, stored: Stored) -> SameVectors:
    """Compare the vectors of the same images, row by row, and say what is wrong if they differ.

    A gallery is not the model's if more than 10 % of its vectors differ, unless it is float and its vectors are as near
    as another processor leaves them. Nor is it if more than 2 % of them, with a confidence of 95 %, are of something
    else than the image.

    Args:
        expected: float32 [n, d], the model's vectors; n is at least 1, and none is zero or not finite.
        found: float32 [n, e], the gallery's vectors of the same images in the same order; none is zero or not finite.
        stored: How the gallery stores them.
    """
    tolerance = _KEPT[stored]
    if found.shape[1] != expected.shape[1]:
        reason, rows = _other_length(expected, found, tolerance), np.arange(len(found))
        return SameVectors(False, 0.0, 0.0, tolerance, rows, rows, reason)
    compared = _signs(expected) if stored == "binary" else expected
    cosines, centred = row_cosines(compared, found), _centred_cosines(compared, found)
    differs, is_other = cosines < tolerance, centred < _SAME_IMAGE[stored]
    if stored == "faiss" and len(found) >= _FEWEST:  # a shared mean alone may reach this tolerance
        differs |= is_other
    differing, others = np.flatnonzero(differs), np.flatnonzero(differs & is_other)
    worst, median = float(cosines.min()), float(np.median(cosines))
    moved = len(differing) > _MOVED * len(found)
    if moved and not (stored in _EXACT and np.median(centred) >= _OTHER_DECODER):
        others = differing
    elif are_few(len(others), len(found)):
        return SameVectors(len(differing) == 0, worst, median, tolerance, differing, others, "")
    reason = ""
    if stored == "binary":
        reason = _binary_fault(expected[others], found[others], expected.mean(0), tolerance)
    reason = reason or diagnosis(compared, found, others, tolerance)
    return SameVectors(False, worst, median, tolerance, differing, others, reason)


def are_few(others: int, count: int) -> bool:
    """Whether so few of some images are other ones that they may have been replaced since the gallery was made."""
    return probability_of_hits(others, count, _REPLACED) >= 1 - _SURE


def _centred_cosines(expected: Vectors, found: Vectors) -> npt.NDArray[np.float64]:
    """The cosines of rows as unit vectors, without the mean of the expected ones."""
    ours, theirs = unit_vectors(expected), unit_vectors(found)
    mean = ours.mean(axis=0)
    return row_cosines(ours - mean, theirs - mean)


def _other_length(expected: Vectors, found: Vectors, tolerance: float) -> str:
    dim, found_dim = expected.shape[1], found.shape[1]
    if found_dim < dim and np.median(row_cosines(expected[:, :found_dim], found)) >= tolerance:
        return f"the gallery holds only the first {found_dim} of the model's {dim} dimensions"
    return f"the gallery's vectors have {found_dim} dimensions, the model's have {dim}: it is of another model"


def _binary_fault(expected: Vectors, found: Vectors, mean: Vectors, tolerance: float) -> str:
    if np.median(row_cosines(_signs(expected - mean), found)) >= tolerance - 0.1:
        return "a mean was subtracted before the bits were taken"
    reversed_bits = found.reshape(len(found), -1, 8)[:, :, ::-1].reshape(found.shape)
    if np.median(row_cosines(_signs(expected), reversed_bits)) >= tolerance:
        return "the bits of each byte are in reverse order"
    return ""


def _signs(vectors: Vectors) -> Vectors:
    return np.where(vectors > 0, 1, -1).astype(np.float32)
