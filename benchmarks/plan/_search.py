"""Searching the teacher's gallery with a student's embeddings, and the figures of each query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export.benchmarks.plan._bootstrap import Estimate, mean_estimate
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import topk_overlap
from prunnet_export.relevance import Relevance

NEIGHBOURS = 10
Vectors = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """The figures of each query.

    Attributes:
        hits: float64 [n], 1 where the nearest image of the gallery is relevant, else 0; None without labels.
        overlaps: float64 [n], the share of the teacher's 10 nearest images that are among the student's 10 nearest.
        cosines: float64 [n], the cosine to the teacher's vector of the query.
    """

    hits: Values | None
    overlaps: Values
    cosines: Values

    @property
    def main(self) -> Values:
        """The values whose mean is held against the gate: hits with labels, else overlaps."""
        return self.overlaps if self.hits is None else self.hits

    @property
    def recall(self) -> Estimate | None:
        """R@1; None without labels."""
        return None if self.hits is None else mean_estimate(self.hits)

    @property
    def overlap(self) -> Estimate:
        """Overlap@10."""
        return mean_estimate(self.overlaps)

    @property
    def cosine(self) -> float:
        """The mean cosine."""
        return float(self.cosines.mean())


@dataclass(frozen=True, eq=False)
class Search:
    """Query images that no student learns from, and the teacher's gallery.

    Attributes:
        images: The n query images.
        queries: The teacher's unit vectors of them, float32 [n, d].
        gallery: The teacher's unit vectors of the gallery, float32 [m, d].
        relevance: Relevance of m gallery images to n queries; None without labels.
    """

    images: ImageSplit
    queries: Vectors
    gallery: Vectors
    relevance: Relevance | None

    def score(self, found: Vectors) -> Scores:
        """The figures of a student's embeddings float32 [n, d] of the queries; they need not be unit vectors."""
        unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        hits = None if self.relevance is None else _hits(unit, self.gallery, self.relevance)
        overlaps = topk_overlap(unit, self.queries, self.gallery, k=NEIGHBOURS, relevance=self.relevance)
        return Scores(hits, overlaps, np.einsum("ij,ij->i", unit, self.queries).astype(np.float64))

    def teacher(self) -> Scores:
        """The figures of the teacher itself: the self-test."""
        return self.score(self.queries)

    def precision(self) -> float | None:
        """The mean share of relevant images among the teacher's 10 nearest; None without labels."""
        if self.relevance is None:
            return None
        cosines, relevant = _cosines(self.queries, self.gallery, self.relevance)
        count = min(NEIGHBOURS, len(self.gallery))
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        return float(np.take_along_axis(relevant, nearest, axis=1).mean())

    def chance(self) -> float:
        """The overlap of an embedder that finds images at random."""
        return min(1.0, NEIGHBOURS / len(self.gallery))


def _hits(queries: Vectors, gallery: Vectors, relevance: Relevance) -> Values:
    """Ties count against the student, as in :func:`retrieval_metrics`."""
    cosines, relevant = _cosines(queries, gallery, relevance)
    best = np.where(relevant, cosines, -np.inf).max(axis=1)
    other = np.where(relevant, -np.inf, cosines).max(axis=1)
    hits: Values = (best > other).astype(np.float64)
    return hits


def _cosines(
    queries: Vectors, gallery: Vectors, relevance: Relevance
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Cosines [n, m], minus infinity for junk, and the mask of relevant images. Searches here are small."""
    cosines = queries @ gallery.T
    relevant, junk = relevance.rows(0, len(queries))
    cosines[junk] = -np.inf
    return cosines, relevant
