"""Retrieval metrics of embeddings. Similarities are computed in chunks; all embeddings are in memory, as float64.

Each metric ranks as an inner product does. Inner products are summed in float64 and compared in steps of 2^-24, so that
rows which differ only by rounding tie.
Among equal ones, relevant images rank last. So an embedder that maps every image to one point gets the worst
score, and the order of the files does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating._bootstrap import interval_of_mean
from prunnet_export.evaluating._metric import as_inner_products, unit_rows
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Indices, Relevance
from prunnet_export.vectors import Metric

_CHUNK = 4_000_000  # scores in memory at once: 32 MB in float64
_STEP = 2.0**24  # steps in a cosine of 1; float32 holds all integers up to this one
_Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RetrievalMetrics:
    """The metrics of a search.

    Attributes:
        recall_at: For each k, the share of queries with a relevant image among the first k.
        precision_at: For each k, the mean share of relevant images among the first k. If the last relevant image has
            a rank r < k, it is the share among the first r.
        mean_average_precision: Mean over queries of the average precision, as the protocol defines it.
        n_queries: Number of queries with a relevant image; only these count.
        n_left_out: Number of queries without a relevant image in the gallery.
        recall_interval: For each k, the 95 % interval of the recall, by a bootstrap over the queries.
    """

    recall_at: dict[int, float]
    precision_at: dict[int, float]
    mean_average_precision: float
    n_queries: int
    n_left_out: int = 0
    recall_interval: dict[int, tuple[float, float]] = field(default_factory=dict, compare=False)

    def figures(self, protocol: Protocol) -> dict[str, float]:
        """The figures of the protocol, by their usual names."""
        return {
            **{f"R@{k}": self.recall_at[k] for k in protocol.recall_at},
            protocol.average: self.mean_average_precision,
            **{f"mP@{k}": self.precision_at[k] for k in protocol.precision_at},
        }


def retrieval_metrics(
    query: npt.NDArray[Any],
    gallery: npt.NDArray[Any],
    relevance: Relevance,
    protocol: Protocol = Protocol(),  # noqa: B008  # frozen
    metric: Metric = "cosine",
) -> RetrievalMetrics:
    """R@k, mP@k, and mAP = mean_q 1/min(|P_q|, depth) sum_{j: rank_j <= depth} j / rank_j over the positives P_q.

    j counts the positives from the closest one; ranks are counted after junk is removed. With ``depth`` 100 this is
    the mAP@100 of Google Landmarks v2 (Weyand et al., CVPR 2020, eq. 1). The trapezoid rule replaces j / rank_j by the
    mean of j / rank_j and (j - 1) / (rank_j - 1), where the latter is 1 at rank 1 (Philbin et al., CVPR 2007). mP@k is
    that of the revisited Oxford and Paris (Radenovic et al., CVPR 2018). Queries without relevant images are left out.

    Args:
        query: Embeddings [n, d]; they need not be unit vectors, but must not be zero. Their lengths matter for ``l2``.
        gallery: Embeddings [m, d], also not zero.
        relevance: Relevance of m gallery images to n queries.
        protocol: The figures to compute; a depth above m uses all ranks.
        metric: How a query is compared with an image of the gallery.

    Raises:
        InvalidInput: a shape, a type or a value is wrong (the message names the first such row), or no query has a
            relevant image in the gallery.
    """
    queries, images = as_inner_products(*_pair(query, gallery, "query", "gallery"), metric)
    first, precisions, averages = [], [], []
    for scores, relevant in _scores(queries, images, relevance):
        distractors = np.sort(np.where(relevant, np.float32(-np.inf), scores), axis=1)
        for row, is_relevant in enumerate(relevant):
            positives = np.sort(scores[row, is_relevant])[::-1]
            if positives.size:
                ahead = len(images) - np.searchsorted(distractors[row], positives, side="left")
                ranks = np.arange(1, positives.size + 1) + ahead
                first.append(ranks[0])
                precisions.append([_precision(ranks, k) for k in protocol.precision_at])
                averages.append(_average_precision(ranks, protocol))
    if not averages:
        raise InvalidInput("no query has a relevant gallery image", hint="query and gallery need images that match")
    hits = {k: np.array(first) <= k for k in protocol.recall_at}
    return RetrievalMetrics(
        recall_at={k: float(found.mean()) for k, found in hits.items()},
        precision_at=dict(zip(protocol.precision_at, np.mean(precisions, axis=0).tolist(), strict=True)),
        mean_average_precision=float(np.mean(averages)),
        n_queries=len(averages),
        n_left_out=len(queries) - len(averages),
        recall_interval={k: interval_of_mean(found) for k, found in hits.items()},
    )


def topk_overlap(
    query_a: npt.NDArray[Any],
    query_b: npt.NDArray[Any],
    gallery: npt.NDArray[Any],
    *,
    k: int = 10,
    relevance: Relevance | None = None,
    metric: Metric = "cosine",
) -> npt.NDArray[np.float64]:
    """|top-k(a_i) & top-k(b_i)| / k for each query i: the share of neighbours that two embedders have in common.

    Among ties at the k-th place the first rows are taken. If fewer than k images are not junk, k is their number.

    Args:
        query_a: Embeddings [n, d] of one embedder.
        query_b: Embeddings [n, d] of another embedder, of the same images.
        gallery: Embeddings [m, d] that both search.
        k: Number of neighbours, at least 1.
        relevance: Relevance of m gallery images to n queries; only its junk is used, which is removed from rankings.
        metric: How a query is compared with an image of the gallery.

    Returns:
        float64 [n] in 0..1.

    Raises:
        InvalidInput: a shape or a value is wrong (the message names the first such row), or the whole gallery is junk
            for a query.
    """
    a, images = _pair(query_a, gallery, "query_a", "gallery")
    b, _ = _pair(query_b, gallery, "query_b", "gallery")
    if len(a) != len(b):
        raise InvalidInput(f"{len(a)} queries against {len(b)}", hint="embed the same images with both networks")
    if k < 1:
        raise InvalidInput(f"the {k} nearest images are asked for", hint="give 1 or more")
    parts = []
    compared = [as_inner_products(one, images, metric) for one in (a, b)]
    both = zip(*(_scores(*pair, relevance) for pair in compared), strict=True)
    for (scores_a, _), (scores_b, _) in both:
        left = np.isfinite(scores_a).sum(axis=1)
        if left.min() == 0:
            raise InvalidInput("all of the gallery is junk to a query", hint="leave that query out")
        shared = _nearest(scores_a, k) & _nearest(scores_b, k)
        parts.append(shared.sum(axis=1) / np.minimum(left, k))
    return np.concatenate(parts)


def spread(embeddings: npt.NDArray[Any]) -> float:
    """1 - mean_{i != j} cos(x_i, x_j) = 1 - (|sum_i u_i|^2 - n) / (n (n - 1)), with u_i = x_i / |x_i|.

    It is 0 if all embeddings [n, d] have one direction, and about 1 if their directions are random.

    Raises:
        InvalidInput: there are fewer than two rows, or a row is not finite or zero.
    """
    rows = unit_rows(_checked(embeddings, "embeddings"))
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
    left, right = map(unit_rows, _pair(a, b, "a", "b", row_by_row=True))
    return float(np.clip((left * right).sum(axis=1).min(), -1, 1))


def _average_precision(ranks: Indices, protocol: Protocol) -> float:
    """Average precision of the ranks of all positives, ascending from 1."""
    found = np.arange(1, ranks.size + 1)
    precision = found / ranks
    if protocol.trapezoid:
        before = np.where(ranks > 1, (found - 1) / np.maximum(ranks - 1, 1), 1.0)
        precision = (before + precision) / 2
    depth = protocol.depth or int(ranks[-1])
    return float(precision[ranks <= depth].sum() / min(ranks.size, depth))


def _precision(ranks: Indices, k: int) -> float:
    """Precision among the first k ranks, or up to the last positive if that comes earlier."""
    depth = min(k, int(ranks[-1]))
    return float((ranks <= depth).sum() / depth)


def _nearest(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.bool_]:
    """A mask [rows, m] of the k largest finite values of each row; among ties the first columns are taken."""
    last = np.partition(scores, -min(k, scores.shape[1]), axis=1)[:, -min(k, scores.shape[1]), None]
    above, tied = scores > last, (scores == last) & np.isfinite(last)
    missing = k - above.sum(axis=1, keepdims=True)
    chosen: npt.NDArray[np.bool_] = above | (tied & (np.cumsum(tied, axis=1) <= missing))
    return chosen


def _scores(
    queries: _Rows, images: _Rows, relevance: Relevance | None
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Per chunk of queries: inner products [rows, m] in steps of 2^-24, -inf for junk; the mask of relevant images."""
    if relevance is not None and relevance.shape != (len(queries), len(images)):
        raise InvalidInput(
            f"the relevance is of {relevance.shape}, the embeddings are of {(len(queries), len(images))}",
            hint="(queries, gallery images) have to agree",
        )
    step = max(1, _CHUNK // len(images))
    for start in range(0, len(queries), step):
        scores = np.rint((queries[start : start + step] @ images.T) * _STEP).astype(np.float32)
        relevant = np.zeros(scores.shape, np.bool_)
        if relevance is not None:
            relevant, junk = relevance.rows(start, start + len(scores))
            scores[junk] = -np.inf
        yield scores, relevant


def _pair(
    first: npt.NDArray[Any], second: npt.NDArray[Any], first_name: str, second_name: str, *, row_by_row: bool = False
) -> tuple[_Rows, _Rows]:
    """Both arrays as float64, after a check of their widths and, with ``row_by_row``, their lengths."""
    a, b = _checked(first, first_name), _checked(second, second_name)
    if a.shape[1] != b.shape[1] or (row_by_row and len(a) != len(b)):
        raise InvalidInput(
            f"{first_name} has the shape {a.shape} and {second_name} {b.shape}",
            hint="rows belong together one by one" if a.shape[1] == b.shape[1] else "the widths have to agree",
        )
    return a, b


def _checked(embeddings: npt.NDArray[Any], name: str) -> _Rows:
    """The rows as float64, after a check that each is finite and not zero."""
    array = np.asarray(embeddings)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":  # noqa: PLR2004 - a matrix
        raise InvalidInput(
            f"{name} is a {array.dtype} array of shape {array.shape}", hint="give numbers [n, d], neither of them 0"
        )
    rows = array.astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    bad = np.flatnonzero(~np.isfinite(largest))
    if bad.size:
        raise InvalidInput(f"{name}: row {bad[0]} holds NaN or infinity", hint="the network diverged or overflowed")
    bad = np.flatnonzero(largest == 0)
    if bad.size:
        raise InvalidInput(f"{name}: row {bad[0]} is zero and has no direction", hint="the network returned zeros")
    return rows
