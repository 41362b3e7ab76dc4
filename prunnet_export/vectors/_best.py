"""The best rows found so far for each query, while a gallery is streamed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prunnet_export.vectors._metrics import (
    Metric,
    Vectors,
    exact_pairs,
    exact_scores,
    rough_error,
    rough_limit,
    rough_scores,
)
from prunnet_export.vectors._screen import Screen

Indices = npt.NDArray[np.int64]

_SPARE = 6  # rows beyond the k-th, so that the last one is clearly worse
_BLOCK = 4096  # queries, and rows, in a matrix of scores
_PAIRS = 2**16  # exact scores that are computed at once


class Best:
    """The k best rows of each query. Rows come in ascending order; among equal scores the lower row is better.

    Args:
        queries: float32 [n, d], finite and not zero.
        k: How many rows are kept for each query.
        metric: The metric.
        own: int64 [n], a row to leave out for each query, or -1.
        screen: What finds roughly the best rows; None compares with all.
    """

    def __init__(self, queries: Vectors, k: int, metric: Metric, own: Indices, screen: Screen | None = None) -> None:
        self.scores = np.full((len(queries), k), -np.inf, np.float32)
        self.rows = np.full((len(queries), k), -1, np.int64)
        self._queries = queries
        self._metric: Metric = metric
        self._own = own
        self._screen = screen
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
        some = np.arange(len(self._queries))
        if self._screen is not None and len(rows) > self.scores.shape[1] + _SPARE:
            some = self._offer_screened(self._screen, rows, lengths, start)
        for query in range(0, len(some), _BLOCK):
            for row in range(0, len(rows), _BLOCK):
                part = slice(row, row + _BLOCK)
                self._offer_all(some[query : query + _BLOCK], rows[part], lengths[part], start + row)

    def _offer_all(self, some: Indices, rows: Vectors, lengths: Vectors, start: int) -> None:
        """Compare some queries with each row."""
        rough = rough_scores(self._rough_queries[some], rows, lengths, self._metric)
        own = self._own[some]
        mine = np.flatnonzero((own >= start) & (own < start + len(rows)))
        rough[mine, own[mine] - start] = -np.inf
        limits = self._limits(some, float(lengths.max()))
        if self.scores.shape[1] <= rough.shape[1] and np.isneginf(self.scores[some, -1]).any():
            kth = np.partition(rough, -self.scores.shape[1], axis=1)[:, -self.scores.shape[1]]
            limits = self._limits_of_rows(some, limits, kth, float(lengths.max()))
        may_enter = rough >= limits[:, None]
        queries, columns = np.flatnonzero(may_enter.any(1)), np.flatnonzero(may_enter.any(0))
        if len(queries) == 0:
            return
        exact = exact_scores(self._queries[some[queries]], rows[columns], self._metric)
        exact[own[queries, None] == start + columns] = -np.inf
        # Rows with the score of the k-th one come after it: they are of a higher number.
        hit, column = np.nonzero(exact > self.scores[some[queries], -1:])
        self._merge(some[queries[hit]], exact[hit, column], start + columns[column])

    def _offer_screened(self, screen: Screen, rows: Vectors, lengths: Vectors, start: int) -> Indices:
        """Compare each query with its roughly best rows only.

        Returns:
            The queries, int64, for which other rows are so close to these that rounding errors may hide better ones.
        """
        k, everyone, longest = self.scores.shape[1], np.arange(len(self._queries)), float(lengths.max())
        # One more than k, because one of them may be the query itself.
        rough, columns = screen.best(self._rough_queries, rows, lengths, self._metric, k + _SPARE)
        limits = self._limits(everyone, longest)
        limits = self._limits_of_rows(everyone, limits, rough[:, k], longest)
        unclear = rough[:, -1] >= limits
        queries, places = np.nonzero((rough >= limits[:, None]) & ~unclear[:, None])
        for first in range(0, len(queries), _PAIRS):
            some, place = queries[first : first + _PAIRS], places[first : first + _PAIRS]
            column = columns[some, place]
            exact = exact_pairs(self._queries[some], rows[column], self._metric)
            # Rows with the score of the k-th one may be of a lower number, because they come in another order.
            keep = (exact >= self.scores[some, -1]) & (self._own[some] != start + column)
            self._merge(some[keep], exact[keep], start + column[keep])
        return np.flatnonzero(unclear)

    def _limits(self, some: Indices, longest: float) -> Vectors:
        """The rough score below which a row is worse than the k best so far, float32 [k]."""
        dim = self._queries.shape[1]
        return rough_limit(self.scores[some, -1], self._lengths[some], longest, dim, self._metric)

    def _limits_of_rows(self, some: Indices, limits: Vectors, kth: Vectors, longest: float) -> Vectors:
        """The same if k rows have a rough score of ``kth`` or more: a row that is clearly worse is none of the best."""
        error = rough_error(self._lengths[some], longest, self._queries.shape[1], self._metric)
        return np.maximum(limits, (kth - 2 * error).astype(np.float32))

    def _merge(self, queries: Indices, scores: Vectors, rows: Indices) -> None:
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
