"""Retrieval metrics over embeddings, by cosine, in chunks that need little memory.

Cosines are summed in float64 and compared in steps of 2^-24, so that rows which differ only by rounding tie.
Ties are broken pessimistically: what is relevant ranks behind whatever is as close to the query. An embedder
that maps every image to one point scores worst, not what the order of the files happens to give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput

_CHUNK = 4_000_000  # cosines at a time: 32 MB in float64
_STEP = 2.0**24  # steps in a cosine of 1; float32 counts up to here
_Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RetrievalMetrics:
    """How well a gallery is searched.

    Attributes:
        recall_at: Share of the queries with a relevant image among the first k, by k.
        mean_average_precision: Mean over queries of the precision at each of their relevant images.
        n_queries: How many queries were searched with.
    """

    recall_at: dict[int, float]
    mean_average_precision: float
    n_queries: int


def retrieval_metrics(
    query: npt.NDArray[Any],
    gallery: npt.NDArray[Any],
    query_labels: npt.NDArray[Any],
    gallery_labels: npt.NDArray[Any],
    *,
    exclude_self: bool = False,
    ks: Sequence[int] = (1, 2, 4, 8),
) -> RetrievalMetrics:
    """R@k, and mAP = mean_q 1/|P_q| sum_j j / rank_j over the positives P_q, closest first.

    Args:
        query: Embeddings [n, d], of any length but 0.
        gallery: Embeddings [m, d].
        query_labels: Integers [n].
        gallery_labels: Integers [m].
        exclude_self: Gallery row i is query i and does not take part in its ranking.
        ks: Depths, each at least 1; one beyond the gallery's size sees all of it.

    Raises:
        InvalidInput: a shape, a type or a value is wrong, or a query has nothing relevant in the gallery
            (leaving it out would compare means over different queries); the message names the first such row.
    """
    if not ks or min(ks) < 1:
        raise InvalidInput(f"recall is asked for at {tuple(ks)}", hint="give depths of at least 1")
    queries, images = _pair(query, gallery, "query", "gallery", exclude_self=exclude_self)
    query_labels = _labels(query_labels, len(queries), "query")
    gallery_labels = _labels(gallery_labels, len(images), "gallery")
    first_ranks = np.empty(len(queries), np.int64)
    precisions = np.empty(len(queries))
    for start, cosines in _cosines(queries, images, exclude_self=exclude_self):
        # -inf marks a query's own image, which is neither relevant nor a distractor.
        relevant = (query_labels[start : start + len(cosines), None] == gallery_labels) & np.isfinite(cosines)
        distractors = np.sort(np.where(relevant, np.float32(-np.inf), cosines), axis=1)
        for row, is_relevant in enumerate(relevant):
            positives = np.sort(cosines[row, is_relevant])[::-1]
            if positives.size == 0:
                raise InvalidInput(
                    f"query {start + row} (label {query_labels[start + row]}) has no relevant gallery image",
                    hint="every query needs a gallery image of its label, besides itself",
                )
            ahead = len(images) - np.searchsorted(distractors[row], positives, side="left")
            found = np.arange(1, positives.size + 1)
            first_ranks[start + row] = 1 + ahead[0]
            precisions[start + row] = (found / (found + ahead)).mean()
    return RetrievalMetrics(
        recall_at={int(k): float((first_ranks <= k).mean()) for k in ks},
        mean_average_precision=float(precisions.mean()),
        n_queries=len(queries),
    )


def topk_overlap(
    query_a: npt.NDArray[Any],
    query_b: npt.NDArray[Any],
    gallery: npt.NDArray[Any],
    *,
    k: int = 10,
    exclude_self: bool = False,
) -> npt.NDArray[np.float64]:
    """|top-k(a_i) & top-k(b_i)| / k for each query i, the neighbours that two embedders agree on.

    Without labels no choice is the pessimistic one: among ties at the k-th place the first rows are taken.

    Args:
        query_a: Embeddings [n, d] of one embedder.
        query_b: Embeddings [n, d] of the other one, of the same images.
        gallery: Embeddings [m, d] that both search.
        k: Neighbours, 1..m, or 1..m-1 where the query's own image is left out.
        exclude_self: Gallery row i is query i and does not take part in its ranking.

    Returns:
        float64 [n] in 0..1.

    Raises:
        InvalidInput: a shape or a value is wrong; the message names the first such row.
    """
    a, images = _pair(query_a, gallery, "query_a", "gallery", exclude_self=exclude_self)
    b, _ = _pair(query_b, gallery, "query_b", "gallery", exclude_self=exclude_self)
    if len(a) != len(b):
        raise InvalidInput(f"{len(a)} queries against {len(b)}", hint="embed the same images with both networks")
    if not 1 <= k <= len(images) - exclude_self:
        raise InvalidInput(f"the {k} nearest of {len(images) - exclude_self} images are asked for", hint="lower k")
    overlap = np.empty(len(a))
    both = zip(
        _cosines(a, images, exclude_self=exclude_self),
        _cosines(b, images, exclude_self=exclude_self),
        strict=True,
    )
    for (start, cosines_a), (_, cosines_b) in both:
        shared = _nearest(cosines_a, k) & _nearest(cosines_b, k)
        overlap[start : start + len(shared)] = shared.sum(axis=1) / k
    return overlap


def spread(embeddings: npt.NDArray[Any]) -> float:
    """1 - mean_{i != j} cos(x_i, x_j) = 1 - (|sum_i u_i|^2 - n) / (n (n - 1)), with u_i = x_i / |x_i|.

    0 where all embeddings point one way, about 1 where they point everywhere.

    Args:
        embeddings: [n, d], n at least 2.

    Raises:
        InvalidInput: there are fewer than two rows, or a row is not finite or zero.
    """
    rows = _unit(embeddings, "embeddings")
    n = len(rows)
    if n < 2:  # noqa: PLR2004 - a pair
        raise InvalidInput("spread of a single embedding", hint="give at least two")
    total = rows.sum(axis=0)
    return float(1 - (total @ total - n) / (n * (n - 1)))


def worst_cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """min_i cos(a_i, b_i), over the rows of two equally shaped arrays [n, d].

    Raises:
        InvalidInput: the shapes differ, or a row is not finite or zero.
    """
    left, right = _pair(a, b, "a", "b", exclude_self=True)
    return float(np.clip((left * right).sum(axis=1).min(), -1, 1))


def _nearest(cosines: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.bool_]:
    """Which columns are among the k largest of each row, [rows, m]; of those that tie, the first."""
    last = np.partition(cosines, -k, axis=1)[:, -k, None]
    above, tied = cosines > last, cosines == last
    missing = k - above.sum(axis=1, keepdims=True)
    chosen: npt.NDArray[np.bool_] = above | (tied & (np.cumsum(tied, axis=1) <= missing))
    return chosen


def _cosines(queries: _Rows, images: _Rows, *, exclude_self: bool) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The first row of each chunk, and its cosines [rows, m] in steps of 2^-24; -inf for the own image."""
    step = max(1, _CHUNK // len(images))
    for start in range(0, len(queries), step):
        cosines = np.rint((queries[start : start + step] @ images.T) * _STEP).astype(np.float32)
        if exclude_self:
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -np.inf
        yield start, cosines


def _pair(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    first_name: str,
    second_name: str,
    *,
    exclude_self: bool,
) -> tuple[_Rows, _Rows]:
    """Both as unit rows, of one width, and of one length where rows belong together one by one."""
    a, b = _unit(first, first_name), _unit(second, second_name)
    if a.shape[1] != b.shape[1] or (exclude_self and len(a) != len(b)):
        raise InvalidInput(
            f"{first_name} has the shape {a.shape} and {second_name} {b.shape}",
            hint="rows belong together one by one" if a.shape[1] == b.shape[1] else "the widths have to agree",
        )
    return a, b


def _unit(embeddings: npt.NDArray[Any], name: str) -> _Rows:
    """The rows, divided by their lengths, float64."""
    array = np.asarray(embeddings)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":  # noqa: PLR2004 - a matrix
        raise InvalidInput(
            f"{name} is a {array.dtype} array of shape {array.shape}",
            hint="give numbers [n, d], neither of them 0",
        )
    rows = array.astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    bad = np.flatnonzero(~np.isfinite(largest))
    if bad.size:
        raise InvalidInput(f"{name}: row {bad[0]} holds NaN or infinity", hint="the network diverged or overflowed")
    bad = np.flatnonzero(largest == 0)
    if bad.size:
        raise InvalidInput(f"{name}: row {bad[0]} is zero and has no direction", hint="the network's output died")
    rows /= largest[:, None]  # first, so that no square overflows
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _labels(labels: npt.NDArray[Any], count: int, name: str) -> npt.NDArray[Any]:
    array = np.asarray(labels)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InvalidInput(
            f"{count} {name} embeddings and {array.dtype} labels of shape {array.shape}",
            hint="give one integer label for each row",
        )
    return array
