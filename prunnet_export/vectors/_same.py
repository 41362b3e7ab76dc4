"""Whether a gallery's vectors of some images are those that the model gives for the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors._diagnosis import diagnosis, row_cosines
from prunnet_export.vectors._forms import Stored
from prunnet_export.vectors._metrics import Vectors

# The cosine that a vector keeps when it is stored in this form. Binary codes keep 97 % of their bits, which is a cosine
# of 0.94 to the signs. How much a compressed form of FAISS keeps depends on its codes.
_KEPT: dict[Stored, float] = {"float32": 0.9999, "float16": 0.999, "int8": 0.98, "binary": 0.94, "faiss": 0.7}
# With fewer differing vectors than this share, the gallery is of the model, but some images are not the same.
_SOME = 0.1


@dataclass(frozen=True, eq=False)
class SameVectors:
    """Whether found vectors are the expected ones.

    Attributes:
        same: True if each vector is the expected one, as exactly as its form allows.
        worst: The smallest cosine of an expected vector to the found one; for binary codes, to the signs.
        median: The median of these cosines.
        tolerance: The cosine that each vector has to reach.
        differing: int64, the rows that do not reach it.
        reason: What is wrong, in one sentence; empty if nothing is.
    """

    same: bool
    worst: float
    median: float
    tolerance: float
    differing: npt.NDArray[np.int64]
    reason: str


def same_vectors(expected: Vectors, found: Vectors, stored: Stored) -> SameVectors:
    """Compare the vectors of the same images, row by row, and say what is wrong if they differ.

    Args:
        expected: float32 [n, d], the model's vectors; n is at least 1, and none is zero or not finite.
        found: float32 [n, e], the gallery's vectors of the same images in the same order; none is zero or not finite.
        stored: How the gallery stores them.
    """
    tolerance = _KEPT[stored]
    if found.shape[1] != expected.shape[1]:
        reason = _other_length(expected, found, tolerance)
        return SameVectors(False, 0.0, 0.0, tolerance, np.arange(len(found)), reason)
    compared = _signs(expected) if stored == "binary" else expected
    cosines = row_cosines(compared, found)
    differing = np.flatnonzero(cosines < tolerance)
    reason = ""
    if len(differing) > _SOME * len(found):
        reason = _binary_fault(expected, found, tolerance) if stored == "binary" else ""
        reason = reason or diagnosis(compared, found, tolerance)
    elif len(differing):
        reason = (
            f"{len(differing)} of {len(found)} vectors are not the model's: those images changed, or rows were mixed"
        )
    worst, median = float(cosines.min()), float(np.median(cosines))
    return SameVectors(len(differing) == 0, worst, median, tolerance, differing, reason)


def _other_length(expected: Vectors, found: Vectors, tolerance: float) -> str:
    dim, found_dim = expected.shape[1], found.shape[1]
    if found_dim < dim and np.median(row_cosines(expected[:, :found_dim], found)) >= tolerance:
        return f"the gallery holds only the first {found_dim} of the model's {dim} dimensions"
    return f"the gallery's vectors have {found_dim} dimensions, the model's have {dim}: it is of another model"


def _binary_fault(expected: Vectors, found: Vectors, tolerance: float) -> str:
    if np.median(row_cosines(_signs(expected - expected.mean(0)), found)) >= tolerance - 0.1:
        return "a mean was subtracted before the bits were taken"
    reversed_bits = found.reshape(len(found), -1, 8)[:, :, ::-1].reshape(found.shape)
    if np.median(row_cosines(_signs(expected), reversed_bits)) >= tolerance:
        return "the bits of each byte are in reverse order"
    return ""


def _signs(vectors: Vectors) -> Vectors:
    return np.where(vectors > 0, 1, -1).astype(np.float32)
