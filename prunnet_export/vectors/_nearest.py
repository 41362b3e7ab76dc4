"""Exact search for the nearest vectors in a gallery of any size."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.vectors._best import Best
from prunnet_export.vectors._metrics import Metric, Vectors, exact_scores
from prunnet_export.vectors._screen import screen_for
from prunnet_export.vectors._stored import StoredVectors, vectors_in_memory

OVERSAMPLING = 4
# Multiplying matrices is not faster with larger parts, and these need few megabytes.
_ROWS, _QUERIES = 4096, 1024
# FAISS has no matrix of scores. It works longer on more rows before it has to begin a new list of the best.
_SCREENED_NUMBERS, _SCREENED_QUERIES = 2**23, 2**14


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest vectors of each query, the best one first.

    Attributes:
        indices: int64 [n, k], rows of the gallery; -1 where there are fewer than k.
        scores: float32 [n, k], greater is better: the cosine, the dot product, or the negative squared distance; minus
            infinity where there are fewer than k.
    """

    indices: npt.NDArray[np.int64]
    scores: Vectors


def nearest(
    queries: Vectors,
    gallery: StoredVectors | npt.NDArray[Any],
    k: int,
    metric: Metric,
    *,
    own: npt.NDArray[np.int64] | None = None,
    oversampling: int = OVERSAMPLING,
    rows_at_once: int | None = None,
) -> Neighbours:
    """The k nearest vectors of a gallery for each query. The search is exact, in one pass over the gallery.

    Memory does not grow with the gallery. Where FAISS is installed, large searches are faster and find the same. Among
    equal scores the lower row comes first. The result does not depend on ``rows_at_once``. To search for several sets
    of queries in one pass, concatenate them.

    A gallery of binary codes is searched as services do it: the ``k * oversampling`` codes with the fewest bits that
    differ from the signs of the query are scored again, the query itself with the codes as 1 and -1. This is the one
    search that is not exact.

    Args:
        queries: float32 [n, d].
        gallery: Stored vectors, or an array [m, d].
        k: How many to find, at least 1.
        metric: ``cosine``, ``dot`` or ``l2``.
        own: int64 [n], the row that is the query itself and is left out, or -1.
        oversampling: How many times k codes are scored again.
        rows_at_once: How many rows of the gallery are compared at once; None chooses.

    Raises:
        InvalidInput: queries and gallery have different lengths; a query or a row of the gallery is zero or not finite.
    """
    if not isinstance(gallery, StoredVectors):
        gallery = vectors_in_memory(gallery, Path("the gallery"))
    asked = vectors_in_memory(queries, Path("the queries"))
    if asked.dim != gallery.dim:
        raise InvalidInput(
            f"{gallery.file} has vectors of {gallery.dim} dimensions, the queries have {asked.dim}",
            hint="the gallery is of another model, or holds only the first dimensions",
        )
    asked.check_rows(queries, 0)
    left_out = np.full(len(queries), -1, np.int64) if own is None else own.astype(np.int64)
    if gallery.stored != "binary":
        return _stream(queries, gallery, k, metric, own=left_out, rows_at_once=rows_at_once)
    # With signs, d - 2 * (bits that differ) is the dot product.
    signs = np.where(queries > 0, 1, -1).astype(np.float32)
    near = _stream(signs, gallery, k * oversampling, "dot", own=left_out, rows_at_once=rows_at_once)
    return _rescored(queries, near.indices, gallery, k, metric)


def _stream(
    queries: Vectors,
    gallery: StoredVectors,
    k: int,
    metric: Metric,
    *,
    own: npt.NDArray[np.int64],
    rows_at_once: int | None,
) -> Neighbours:
    """Search row by row for the best k."""
    # More than there are can never be found.
    kept = min(k, gallery.count)
    screen = None if gallery.stored == "binary" else screen_for(len(queries), gallery.count)
    step, at_once = (
        (_QUERIES, _ROWS) if screen is None else (_SCREENED_QUERIES, max(1, _SCREENED_NUMBERS // gallery.dim))
    )
    parts = [
        Best(queries[start : start + step], kept, metric, own[start : start + step], screen)
        for start in range(0, len(queries), step)
    ]
    for start, rows in _read_ahead(gallery.chunks(rows_at_once or at_once)):
        lengths = gallery.check_rows(rows, start)
        for part in parts:
            part.offer(rows, lengths, start)
    none = ((0, 0), (0, k - kept))
    return Neighbours(
        np.pad(np.concatenate([part.rows for part in parts]), none, constant_values=-1),
        np.pad(np.concatenate([part.scores for part in parts]), none, constant_values=-np.inf),
    )


def _rescored(
    queries: Vectors, near: npt.NDArray[np.int64], gallery: StoredVectors, k: int, metric: Metric
) -> Neighbours:
    """The k best of some rows for each query, by the scores of the queries themselves."""
    indices = np.full((len(near), k), -1, np.int64)
    scores = np.full((len(near), k), -np.inf, np.float32)
    for query, candidates in enumerate(near):
        found = candidates[candidates >= 0]
        if len(found) == 0:
            continue
        rows = gallery.take(found)
        again = exact_scores(queries[query : query + 1], rows, metric)[0]
        order = np.lexsort((found, -again))[:k]
        indices[query, : len(order)], scores[query, : len(order)] = found[order], again[order]
    return Neighbours(indices, scores)


def _read_ahead(chunks: Iterator[tuple[int, Vectors]]) -> Iterator[tuple[int, Vectors]]:
    """The same chunks. The next one is read and converted in a thread while the last one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = thread.submit(next, chunks, None)
            yield chunk
