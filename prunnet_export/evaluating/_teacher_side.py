"""The teacher's side of a verification: its query vectors, and the gallery that both sides search."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import MatchThreshold
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating._chance import check_better_than_chance
from prunnet_export.evaluating._excerpt import ARTIFACT_NEIGHBOURS, one_relevant_row
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._images import Embeddings, SomeImages
from prunnet_export.evaluating._match_thresholds import Scores, match_thresholds, why_no_threshold
from prunnet_export.evaluating._metric import similarities
from prunnet_export.evaluating._metrics import retrieval_metrics
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._search_gates import NEIGHBOURS, searching
from prunnet_export.relevance import Indices, Mask, Relevance

_LOG = logging.getLogger(__name__)

_THRESHOLD_ROWS = 10_000  # thresholds are taken from so many rows of a larger gallery


@dataclass(frozen=True, eq=False)
class TeacherSide:
    """The teacher's side of a verification. The teacher is the dense network, or the model that made a gallery.

    Attributes:
        images: n query images.
        queries: float32 [n, d], the teacher's embeddings of the query images.
        gallery: m embeddings of the teacher.
        relevance: Relevance of m gallery images to n queries. None, or without relevant images, if it is not known.
    """

    images: ImageSplit
    queries: Embeddings
    gallery: Gallery
    relevance: Relevance | None

    def of_queries(self, rows: Indices) -> TeacherSide:
        """The side with only some of the queries."""
        images = SomeImages((self.images, rows))
        relevance = self.relevance
        if relevance is not None:
            relevance = relevance.restricted(rows, np.arange(self.gallery.entry.count))
        return replace(self, images=images, queries=self.queries[rows], relevance=relevance)

    def kept_rows(self, artifact: Embeddings) -> Indices | None:
        """The rows of the gallery that the figures of an artifact depend on, ascending; None if all rows are kept.

        Args:
            artifact: float32 [n, d], the artifact's embeddings of the queries. Those that are not finite are left out.
        """
        if self.gallery.is_kept_whole:
            return None
        usable = np.isfinite(artifact).all(axis=1) & artifact.any(axis=1)
        nearest = self._nearest(
            searching(artifact[usable], self.gallery.entry, from_artifact=True), ARTIFACT_NEIGHBOURS
        )
        return np.union1d(self._rows_of_teacher, nearest)

    def part(self, rows: Indices | None) -> tuple[Embeddings, Relevance | None]:
        """The embeddings of some rows of the gallery, float32 [k, p], and their relevance; None means all rows."""
        if rows is None:
            return self.gallery.embeddings, self.relevance
        relevance = None if self.relevance is None else self.relevance.restricted(np.arange(len(self.queries)), rows)
        return self.gallery.take(rows), relevance

    def with_rows_of(self, reference: Reference, others: Iterable[Reference]) -> Reference:
        """A reference with the rows of a large gallery that other references have too, so that it serves for all."""
        if reference.rows is None:
            return reference
        rows = [reference.rows, *(other.rows for other in others if other.rows is not None)]
        together = np.unique(np.concatenate(rows))
        gallery, relevance = self.part(together)
        return replace(reference, gallery=gallery, relevance=relevance, rows=together)

    def check(self, *, what: str | None, refuse_chance: bool = True) -> None:
        """Search the gallery with the teacher's queries, and check that they find relevant images if they are known.

        Args:
            what: The gallery, for the message; None if the network that is its own teacher made it just now.
            refuse_chance: Whether an R@1 near chance is an error; if not, it is a warning.

        Raises:
            InvalidInput: a vector is zero or not finite, or the teacher's R@1 in its own gallery is near chance.
        """
        rows = None if self.gallery.is_kept_whole else self._rows_of_teacher
        embeddings, relevance = self.part(rows)
        if relevance is None or self.relevance is None or not self.relevance.counts().any():
            return
        entry = self.gallery.entry
        found = retrieval_metrics(searching(self.queries, entry), embeddings, relevance, metric=entry.metric)
        try:
            check_better_than_chance(found.recall_at[1], self.relevance, what=what)
        except InvalidInput as error:
            if refuse_chance:
                raise
            _LOG.warning("%s", error.message)

    def match_thresholds(self, artifact: Embeddings, *, asked: float | None = None) -> list[MatchThreshold]:
        """The thresholds that keep the teacher's false-accept rate. Of a large gallery, random rows are compared.

        Args:
            artifact: float32 [n, d], the artifact's embeddings of the queries, finite and not zero.
            asked: The teacher's threshold; None takes usual rates.
        """
        embeddings, wrong, teacher = self._wrong_pairs
        metric = self.gallery.entry.metric
        scores = similarities(searching(artifact, self.gallery.entry, from_artifact=True), embeddings, metric)
        return match_thresholds(teacher, scores[wrong], metric, asked=asked)

    def why_no_threshold(self, *, asked: float | None = None) -> str | None:
        """Why :meth:`match_thresholds` gives none, whatever the artifact; None if it gives some."""
        return why_no_threshold(self._wrong_pairs[2], self.gallery.entry.metric, asked=asked)

    @cached_property
    def _rows_of_teacher(self) -> Indices:
        """The rows nearest to the teacher's queries, and a relevant row of each query."""
        rows = np.unique(self._nearest(searching(self.queries, self.gallery.entry), NEIGHBOURS))
        if self.relevance is None:
            return rows
        return np.union1d(rows, one_relevant_row(self.relevance, rows))

    def _nearest(self, queries: Embeddings, count: int) -> Indices:
        """The rows nearest to each query that are not junk, and some that are, int64 [n, k]."""
        junk = 0 if self.relevance is None else self.relevance.most_junk()
        return self.gallery.nearest(queries, count + junk)

    @cached_property
    def _wrong_pairs(self) -> tuple[Embeddings, Mask, Scores]:
        """Rows of the gallery; which of them do not match a query, bool [n, k]; the teacher's scores of those pairs."""
        entry = self.gallery.entry
        rows = np.arange(entry.count)
        if entry.count > _THRESHOLD_ROWS:
            rows = np.sort(np.random.default_rng(0).choice(entry.count, _THRESHOLD_ROWS, replace=False))
        embeddings, relevance = self.part(rows)
        wrong = np.ones((len(self.queries), len(rows)), np.bool_)
        if relevance is not None:
            relevant, junk = relevance.rows(0, len(relevance))
            wrong = ~(relevant | junk)
        return embeddings, wrong, similarities(searching(self.queries, entry), embeddings, entry.metric)[wrong]
