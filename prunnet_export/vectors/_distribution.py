"""Whether vectors of other images can come from the same model: their mean, and the directions in which they vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors._metrics import Vectors

Numbers = npt.NDArray[np.float64]

# Fewer vectors say nothing about a distribution.
_FEWEST = 40
# More take longer and say little more.
_MOST = 400
# Two halves of a sample have to agree by this much, else a comparison with it says nothing.
_TELLING = 0.5
# How much of the agreement of two halves a gallery of the same model keeps, at least. Measured with a network for
# ImageNet: other images keep 0.4 or more in one of the two, another model or order of dimensions less than 0.1.
_KEPT = 0.2
_HALVES = 5


@dataclass(frozen=True)
class SameDistribution:
    """Whether a gallery can come from the model of a sample.

    Attributes:
        possible: False if something contradicts it.
        reason: What contradicts it, or what could not be compared; empty if all agrees.
        profile: Agreement of the mean and the spread of each dimension, 1 for equal ones, near 0 for unrelated ones.
        variation: Agreement of the directions of greatest variance, in the same way.
    """

    possible: bool
    reason: str
    profile: float
    variation: float


def same_distribution(sample: Vectors, gallery: Vectors) -> SameDistribution:
    """Compare vectors of a model with vectors of a gallery that holds other images of the same kind.

    How well two halves of the sample agree is the yardstick. A difference that changes neither the order of the
    dimensions nor the mean, e.g. BGR in place of RGB, is not seen here.

    Args:
        sample: float32 [s, d], the model's vectors of some images.
        gallery: float32 [m, d], vectors of other images.
    """
    if min(len(sample), len(gallery)) < _FEWEST:
        return SameDistribution(
            possible=True, reason=f"fewer than {_FEWEST} vectors say nothing", profile=0, variation=0
        )
    ours, theirs = (_unit(_some(rows)) for rows in (sample, gallery))
    halves = [_split(ours, seed) for seed in range(_HALVES)]
    profile = _relative(_profile_agreement(ours, theirs), [_profile_agreement(*pair) for pair in halves])
    variation = _relative(_shared_variance(ours, theirs), [_shared_variance(*pair) for pair in halves])
    reason = _mean_fault(ours, theirs) or _fault([profile, variation])
    silent = "the sample says nothing about the model" if profile is None and variation is None else ""
    return SameDistribution(
        possible=not reason, reason=reason or silent, profile=profile or 0.0, variation=variation or 0.0
    )


def _fault(agreements: list[float | None]) -> str:
    known = [agreement for agreement in agreements if agreement is not None]
    if known and max(known) < _KEPT:
        return "the vectors are of another model, or their dimensions are in another order"
    return ""


def _mean_fault(ours: Numbers, theirs: Numbers) -> str:
    """What a difference of the means says: one sentence, or nothing."""
    mean_ours, mean_theirs = ours.mean(0), theirs.mean(0)
    strength, found = np.linalg.norm(mean_ours), np.linalg.norm(mean_theirs)
    if strength > 0.2 and mean_ours @ mean_theirs < -0.5 * strength * found and found > 0.5 * strength:  # noqa: PLR2004
        return "the vectors point the other way: their signs were flipped"
    if (ours >= 0).all() and (theirs < 0).mean() > 0.01:  # noqa: PLR2004  # rounding makes no negative numbers
        return (
            "the model gives no negative numbers, the vectors have some: a mean was subtracted, or the model is another"
        )
    if strength > 0.2 and found < 0.5 * strength:  # noqa: PLR2004  # other images do not take half of a mean
        return f"a mean was subtracted: it has a length of {found:.2f}, the model's has {strength:.2f}"
    if found > 0.4 and strength < 0.5 * found:  # noqa: PLR2004
        return f"a mean was added: it has a length of {found:.2f}, the model's has {strength:.2f}"
    return ""


def _relative(agreement: float, of_halves: list[float]) -> float | None:
    """An agreement as a share of that of two halves; None if the halves do not agree themselves."""
    yardstick = float(np.median(of_halves))
    return agreement / yardstick if yardstick >= _TELLING else None


def _profile_agreement(left: Numbers, right: Numbers) -> float:
    """The correlation, over dimensions, of their spread, or of their mean where that agrees better."""
    return max(_correlation(left.mean(0), right.mean(0)), _correlation(left.std(0), right.std(0)))


def _shared_variance(left: Numbers, right: Numbers) -> float:
    """How much of the variance along the main directions of each is along those of the other, above chance."""
    return (_captured(left, right) + _captured(right, left)) / 2


def _captured(left: Numbers, right: Numbers) -> float:
    left, right = left - left.mean(0), right - right.mean(0)
    directions = _main_directions(left)
    own = _main_directions(right)
    chance = len(directions) / right.shape[1]
    # What the best directions of the same number capture.
    best = float(((right @ own[: len(directions)].T) ** 2).sum() / (right**2).sum())
    share = float(((right @ directions.T) ** 2).sum() / (right**2).sum())
    return float((share - chance) / max(best - chance, 1e-9))


def _main_directions(centred: Numbers) -> Numbers:
    """The directions of greatest variance, unit vectors [r, d]."""
    rank = max(1, min(centred.shape[1] // 8, len(centred) // 8, 32))
    # The eigenvectors of the products of rows are faster than a singular value decomposition.
    _, vectors = np.linalg.eigh(centred @ centred.T)
    directions = vectors[:, -rank:].T @ centred
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _correlation(left: Numbers, right: Numbers) -> float:
    left, right = left - left.mean(), right - right.mean()
    size = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / size if size > 0 else 0.0


def _split(rows: Numbers, seed: int) -> tuple[Numbers, Numbers]:
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]


def _some(rows: Vectors) -> Vectors:
    return rows if len(rows) <= _MOST else rows[np.random.default_rng(0).choice(len(rows), _MOST, replace=False)]


def _unit(rows: Vectors) -> Numbers:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))
