"""Why a gallery's vectors of some images are not those of the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors._distribution import same_distribution
from prunnet_export.vectors._metrics import Vectors

Numbers = npt.NDArray[np.float64]

# With fewer images, dimensions correlate by chance.
_FEWEST = 12
_MOST = 1000
# The correlation that a dimension keeps under a changed mean, scale or sign, and under another order as int8. Another
# preprocessing keeps less: 0.83 with BGR and a network trained on ImageNet.
_SAME_DIMENSION = 0.97
# With another preprocessing, at most this share of other images is nearer to a vector than its own image.
_NEARER = 0.05


def row_cosines(left: Vectors, right: Vectors) -> Numbers:
    """The cosine of each row of one to the same row of the other, float64 [n]."""
    return np.asarray((_unit(left.astype(np.float64)) * _unit(right.astype(np.float64))).sum(1))


def diagnosis(expected: Vectors, found: Vectors, others: npt.NDArray[np.int64], tolerance: float) -> str:
    """What is wrong with vectors that are not the expected ones, in one sentence.

    Args:
        expected: float32 [n, d], the model's vectors of some images.
        found: float32 [n, d], the gallery's vectors of the same images.
        others: int64 [k], the rows that are not the expected ones, at least one.
        tolerance: The cosine that equal vectors reach.
    """
    others = others[:_MOST]
    everything = _unit(expected[: 2 * _MOST].astype(np.float64))
    ours, theirs = (_unit(rows[others].astype(np.float64)) for rows in (expected, found))
    cosines = (ours * theirs).sum(1)
    if -np.median(cosines) >= tolerance:
        return "every vector points the other way: the signs were flipped"
    reason = _mixed_rows(theirs, cosines, everything, tolerance)
    if not reason and len(ours) >= _FEWEST:
        reason = _changed_dimensions(ours, theirs) or _mixed_dimensions(ours, theirs)
    if reason:
        return reason
    if _recognised(ours, theirs) >= 0.5:  # noqa: PLR2004  # most images
        return (
            f"the vectors are near the model's (median cosine {np.median(cosines):.3f}), but not equal: probably "
            "another preprocessing of the images, e.g. BGR in place of RGB, or another size"
        )
    if len(ours) < 4 * _FEWEST:  # too few for a distribution
        return "these vectors are those of other images, or of another model"
    if same_distribution(expected, found[others]).possible:
        return "the vectors are like the model's, but probably those of other images: names and rows were mixed"
    return "the vectors are those of another model"


def _mixed_rows(theirs: Numbers, cosines: Numbers, everything: Numbers, tolerance: float) -> str:
    """A fault if most vectors are expected under other names."""
    elsewhere = ((theirs @ everything.T).max(1) >= tolerance) & (cosines < tolerance)
    if elsewhere.mean() <= 0.5:  # noqa: PLR2004  # most images
        return ""
    return "each vector is there, but under the name of another image: the rows were mixed"


def _changed_dimensions(ours: Numbers, theirs: Numbers) -> str:
    """A fault if each dimension of one follows from the same dimension of the other."""
    live = (ours.std(0) > 0) & (theirs.std(0) > 0)
    if not live.any():
        return ""
    x, y = ours[:, live], theirs[:, live]
    spread = y.std(0) / x.std(0)
    correlation = _standard(x, y)
    if np.median(np.abs(correlation)) < _SAME_DIMENSION:
        return ""
    if (correlation < 0).mean() > 0.02:  # noqa: PLR2004  # the rest may be noise
        return f"{(correlation < 0).mean():.0%} of the dimensions have the other sign"
    if np.std(np.log(spread)) > 0.2:  # noqa: PLR2004  # other lengths of rows change all dimensions alike
        return "the dimensions are scaled differently, as by whitening or standardisation"
    shift = y.mean(0) - np.median(spread) * x.mean(0)
    if np.linalg.norm(shift) > 0.2 * np.linalg.norm(y - y.mean(0), axis=1).mean():
        direction = "subtracted from" if shift @ x.mean(0) < 0 else "added to"
        return f"a mean was {direction} the vectors"
    return ""


def _mixed_dimensions(ours: Numbers, theirs: Numbers) -> str:
    """A fault if each dimension of one is another dimension of the other."""
    live_ours, live_theirs = (np.flatnonzero(rows.std(0) > 0) for rows in (ours, theirs))
    if len(live_ours) == 0 or len(live_theirs) == 0:
        return ""
    x, y = ours[:, live_ours], theirs[:, live_theirs]
    x, y = ((rows - rows.mean(0)) / rows.std(0) for rows in (x, y))
    correlation = np.abs(y.T @ x) / len(x)
    partner = live_ours[correlation.argmax(1)]
    equal = correlation.max(1) >= _SAME_DIMENSION
    if equal.mean() < 0.8 or len(np.unique(partner)) < 0.5 * len(partner):  # noqa: PLR2004  # nearly all, one to one
        return ""
    return "the dimensions are in another order" if (partner != live_theirs).any() else ""


def _recognised(ours: Numbers, theirs: Numbers) -> float:
    """The share of images whose found vector is nearer to their own expected one than to nearly all others.

    The means are taken off before. Images of one kind are near to each other, so the own one need not be the first.
    """
    if len(ours) <= 1:
        return 0.0
    alike = _unit(theirs - theirs.mean(0)) @ _unit(ours - ours.mean(0)).T
    nearer = (alike > np.diag(alike)[:, None]).sum(1)
    return float((nearer <= _NEARER * len(ours)).mean())


def _standard(left: Numbers, right: Numbers) -> Numbers:
    """The correlation of each dimension of one with the same dimension of the other."""
    left, right = ((rows - rows.mean(0)) / rows.std(0) for rows in (left, right))
    return np.asarray((left * right).mean(0))


def _unit(rows: Numbers) -> Numbers:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30))
