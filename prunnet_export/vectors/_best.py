"""The best rows found so far for each query, while a gallery is streamed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors._metrics import Metric, Vectors, exact_scores, rough_error, rough_limit, rough_scores


class Best:
    """The k best rows of each query. Rows come in ascending order; among equal scores the lower row is better.

    Args:
        queries: float32 [n, d], finite and not zero.
        k: How many rows are kept for each query.
        metric: The metric.
        own: int64 [n], a row to leave out for each query, or -1.
    """

    def __init__(self, queries: Vectors, k: int, metric: Metric, own: npt.NDArray[np.int64]) -> None:
        self.scores = np.full((len(queries), k), -np.inf, np.float32)
        self.rows = np.full((len(queries), k), -1, np.int64)
        self._queries = queries
        self._metric: Metric = metric
        self._own = own
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        scaled = metric == "cosine"
        self._lengths = np.ones(len(queries), np.float32) if scaled else lengths.astype(np.float32)
        self._rough_queries = (queries / lengths[:, None]).astype(np.float32) if scaled else queries

    def offer(self, rows: Vectors, lengths: Vectors, start: int) -> None:
        """Look at the next rows of the gallery.

        Args:
            rows: float32 [m, d].
            lengths: float32 [m], their lengths; none is zero.
            start: The number of the first of them.
        """
        rough = rough_scores(self._rough_queries, rows, lengths, self._metric)
        mine = np.flatnonzero((self._own >= start) & (self._own < start + len(rows)))
        rough[mine, self._own[mine] - start] = -np.inf
        may_enter = rough >= self._limits(rough, float(lengths.max()))[:, None]
        queries, columns = np.flatnonzero(may_enter.any(1)), np.flatnonzero(may_enter.any(0))
        if len(queries) == 0:
            return
        exact = exact_scores(self._queries[queries], rows[columns], self._metric)
        exact[self._own[queries, None] == start + columns] = -np.inf
        # Rows with the score of the k-th one come after it: they are of a higher number.
        hit, column = np.nonzero(exact > self.scores[queries, -1:])
        self._merge(queries[hit], exact[hit, column], start + columns[column])

    def _limits(self, rough: Vectors, longest: float) -> Vectors:
        """The rough score below which a row cannot be among the k best, float32 [n]."""
        k, dim = self.scores.shape[1], self._queries.shape[1]
        limits = rough_limit(self.scores[:, -1], self._lengths, longest, dim, self._metric)
        if k <= rough.shape[1] and np.isneginf(self.scores[:, -1]).any():
            # No k rows were seen before, so the k best of these rows are the limit.
            kth = np.partition(rough, -k, axis=1)[:, -k]
            error = rough_error(self._lengths, longest, dim, self._metric)
            limits = np.maximum(limits, (kth - 2 * error).astype(np.float32))
        return limits

    def _merge(self, queries: npt.NDArray[np.int64], scores: Vectors, rows: npt.NDArray[np.int64]) -> None:
        """Put (query, score, row) triples among the best rows."""
        k = self.scores.shape[1]
        touched = np.unique(queries)
        queries = np.concatenate([np.repeat(touched, k), queries])
        scores = np.concatenate([self.scores[touched].ravel(), scores])
        rows = np.concatenate([self.rows[touched].ravel(), rows])
        order = np.lexsort((rows, -scores, queries))
        queries = queries[order]
        rank = np.arange(len(queries)) - np.searchsorted(queries, queries)
        kept = order[rank < k]  # k for each query, because the old ones were k
        self.scores[touched] = scores[kept].reshape(-1, k)
        self.rows[touched] = rows[kept].reshape(-1, k)
