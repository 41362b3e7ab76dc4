"""Rough neighbours by FAISS, which finds them while it multiplies and needs no matrix of all scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import PrunnetError
from prunnet_export._imports import require
from prunnet_export.vectors._metrics import Metric, Vectors

_WORTH_IT = 10**8  # scores; of fewer, the import of FAISS takes longer


class Screen:
    """FAISS as the first look at rows.

    Args:
        faiss: The module.
    """

    def __init__(self, faiss: Any) -> None:
        self._faiss = faiss

    def best(
        self, queries: Vectors, rows: Vectors, lengths: Vectors, metric: Metric, k: int
    ) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """The k best rows of each query by rough scores, in the units and with the error of ``rough_scores``.

        Args:
            queries: float32 [n, d]; unit vectors for ``cosine``.
            rows: float32 [m, d].
            lengths: float32 [m], the lengths of the rows.
            metric: The metric.
            k: At most m.

        Returns:
            Scores float32 [n, k], the greatest first, and the rows int64 [n, k].
        """
        searched = rows / lengths[:, None] if metric == "cosine" else rows
        kind = self._faiss.METRIC_L2 if metric == "l2" else self._faiss.METRIC_INNER_PRODUCT
        scores, found = self._faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(searched), k, metric=kind)
        if metric == "l2":  # squared distances
            scores = (np.einsum("ij,ij->i", queries, queries)[:, None] - scores) / 2
        return scores, found


def screen_for(queries: int, rows: int) -> Screen | None:
    """FAISS, if it is installed and so many queries and rows are worth its import."""
    if queries * rows < _WORTH_IT:
        return None
    try:
        return Screen(require("faiss", extra="vectors"))
    except PrunnetError:
        return None
