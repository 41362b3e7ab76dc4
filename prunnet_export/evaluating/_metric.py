"""How a query is compared with gallery vectors: by cosine, inner product or distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors import Metric

_Rows = npt.NDArray[np.float64]


def unit_rows(rows: _Rows) -> _Rows:
    """The rows divided by their lengths. Rows are float64 [n, d], finite and not zero."""
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)  # so that no square overflows in the length
    unit: _Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def as_inner_products(queries: _Rows, gallery: _Rows, metric: Metric) -> tuple[_Rows, _Rows]:
    """Rows whose inner products lie in -1..1 and rank the gallery as the metric does, for each query.

    * ``cosine``: q.g / |q||g|.
    * ``dot``: the ranking by q.g does not depend on |q|, so it is q.g / |q| max_j |g_j|.
    * ``l2``: |q - g|^2 = |q|^2 - 2 (q.g - |g|^2 / 2), so it is the inner product of (q, -1/2) and (g, |g|^2), each
      divided by the largest length.

    Args:
        queries: float64 [n, d], finite and not zero.
        gallery: float64 [m, d], finite and not zero.
        metric: The metric.
    """
    if metric == "cosine":
        return unit_rows(queries), unit_rows(gallery)
    if metric == "l2":
        squares = np.square(gallery).sum(axis=1, keepdims=True)
        gallery = np.concatenate([gallery, squares], axis=1)
        queries = np.concatenate([queries, np.full((len(queries), 1), -0.5)], axis=1)
    return unit_rows(queries), gallery / np.linalg.norm(gallery, axis=1).max()


def similarities(queries: npt.NDArray[Any], gallery: npt.NDArray[Any], metric: Metric) -> npt.NDArray[np.float32]:
    """Cosines, inner products or negative distances float32 [n, m]: what a service compares with its threshold."""
    left, right = np.asarray(queries, np.float64), np.asarray(gallery, np.float64)
    if metric == "cosine":
        left, right = unit_rows(left), unit_rows(right)
    scores = left @ right.T
    if metric == "l2":
        squares = np.square(left).sum(axis=1)[:, None] + np.square(right).sum(axis=1)
        scores = -np.sqrt(np.maximum(squares - 2 * scores, 0))
    return scores.astype(np.float32)
