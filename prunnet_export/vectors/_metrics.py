"""Metrics: how alike two vectors are. A greater score is always better."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Metric: TypeAlias = Literal["cosine", "dot", "l2"]
Vectors: TypeAlias = npt.NDArray[np.float32]
METRICS: tuple[Metric, ...] = get_args(Metric)

# Relative error of one float32 rounding.
_ROUNDING = 2.0**-24
# Squared distances below this share of the squared lengths are rounding errors of float64: the vectors are equal.
_EQUAL = 1e-13


def exact_scores(queries: Vectors, rows: Vectors, metric: Metric) -> Vectors:
    """Scores in float64, rounded to float32, so that equal rows have equal scores.

    Args:
        queries: float32 [n, d].
        rows: float32 [m, d].
        metric: ``l2`` gives the negative squared distance.

    Returns:
        float32 [n, m].
    """
    left, right = queries.astype(np.float64), rows.astype(np.float64)
    scores = left @ right.T
    if metric != "dot":
        squares_left = np.einsum("ij,ij->i", left, left)[:, None]
        squares_right = np.einsum("ij,ij->i", right, right)
        if metric == "cosine":
            scores /= np.sqrt(squares_left) * np.sqrt(squares_right)
        else:
            both = squares_left + squares_right
            scores = 2 * scores - both
            scores[scores > -_EQUAL * both] = 0
    return scores.astype(np.float32)


def exact_pairs(queries: Vectors, rows: Vectors, metric: Metric) -> Vectors:
    """The scores of :func:`exact_scores`, of each query with the row of the same number: float32 [n]."""
    left, right = queries.astype(np.float64), rows.astype(np.float64)
    scores: npt.NDArray[np.float64] = np.einsum("ij,ij->i", left, right)
    if metric != "dot":
        squares_left, squares_right = np.einsum("ij,ij->i", left, left), np.einsum("ij,ij->i", right, right)
        if metric == "cosine":
            scores /= np.sqrt(squares_left) * np.sqrt(squares_right)
        else:
            both = squares_left + squares_right
            scores = 2 * scores - both
            scores[scores > -_EQUAL * both] = 0
    return scores.astype(np.float32)


def rough_scores(queries: Vectors, rows: Vectors, lengths: Vectors, metric: Metric) -> Vectors:
    """Scores in float32 with rounding errors. They are fast, and serve to leave rows out.

    They have other units than :func:`exact_scores`; :func:`rough_limit` converts.

    Args:
        queries: float32 [n, d]; unit vectors for ``cosine``.
        rows: float32 [m, d].
        lengths: float32 [m], the lengths of the rows.
        metric: The metric.

    Returns:
        float32 [n, m].
    """
    scores = queries @ rows.T
    if metric == "cosine":
        scores /= lengths
    elif metric == "l2":
        scores -= lengths**2 / 2
    return scores


def rough_limit(kth: Vectors, query_lengths: Vectors, longest: float, dim: int, metric: Metric) -> Vectors:
    """The rough score below which no row reaches a given exact score.

    Args:
        kth: float32 [n], the exact score to reach, for each query.
        query_lengths: float32 [n]; 1 for ``cosine``.
        longest: The greatest length of the rows.
        dim: The length of the vectors.
        metric: The metric.

    Returns:
        float32 [n].
    """
    squares = query_lengths.astype(np.float64) ** 2
    limit = (kth + squares) / 2 if metric == "l2" else kth.astype(np.float64)
    return (limit - rough_error(query_lengths, longest, dim, metric)).astype(np.float32)


def rough_error(query_lengths: Vectors, longest: float, dim: int, metric: Metric) -> npt.NDArray[np.float64]:
    """A bound of the error of :func:`rough_scores`, float64 [n]; the arguments are those of :func:`rough_limit`."""
    lengths = query_lengths.astype(np.float64)
    size = {"cosine": lengths, "dot": lengths * longest, "l2": (lengths + longest) ** 2}[metric]
    # d additions, then the division or the subtraction; twice, because lengths are rounded in the same way.
    return 4 * (dim + 8) * _ROUNDING * size
