"""The images of a plan: some to learn from, and queries with a gallery to search in."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.plan._search import Search
from prunnet_export.benchmarks.plan._teacher import Vectors, VectorSource
from prunnet_export.datasets import Labels, RetrievalData
from prunnet_export.evaluating import ChosenImages, SomeImages
from prunnet_export.training import Match, MatchOptions, Recipe, held_out, match, with_teacher
from prunnet_export.vectors import unit_vectors

_LOG = logging.getLogger(__name__)
QUERIES, GALLERY = 1000, 2000
"""Largest numbers of images of the search."""
_LEAST = 40  # images; with fewer, neither a curve nor neighbours mean anything


@dataclass(frozen=True, eq=False)
class Sample:
    """The images of a plan, and the teacher's vectors of them.

    Attributes:
        recipe: The recipe of the planned training, with its teacher.
        split: The images, n; some of them are held out by ``match``.
        vectors: The teacher's unit vectors of them, float32 [n, d].
        match: What a training on these images learns from the teacher; its rows are those of ``split``.
        search: The queries and the gallery.
        whole: Number of images that the planned training learns from.
        known: Number of images that the teacher's vectors are needed of.
    """

    recipe: Recipe
    split: SomeImages
    vectors: Vectors
    match: Match
    search: Search
    whole: int
    known: int

    @property
    def steps(self) -> int:
        """The number of steps of the planned training."""
        return self.recipe.epochs * max(1, self.whole // self.recipe.batch_size)


def take_sample(
    recipe: Recipe, data: RetrievalData, source: VectorSource, options: MatchOptions, *, images: int
) -> Sample:
    """Choose the images, spread evenly over the training images, and take the teacher's vectors of them only.

    With labels, queries and gallery are those of the data set. Else the queries are images that training holds out,
    and the gallery are the images to learn from.

    Args:
        recipe: The recipe of the planned training.
        data: The images.
        source: The teacher's vectors.
        options: The options of the teacher.
        images: Largest number of training images to take.

    Raises:
        InvalidInput: there are too few images with vectors, or an image cannot be read.
    """
    known = np.flatnonzero(source.known(data.train))
    if len(known) < _LEAST:
        raise InvalidInput(
            f"the teacher's vectors are known of {len(known)} of {len(data.train)} training images",
            hint=f"{_LEAST} or more are needed; names have to be paths relative to the folder of the images",
        )
    names = data.train.relative_names
    whole = len(known) - int(held_out([names[row] for row in known.tolist()]).sum())
    count = min(images, len(known))
    rows = known[np.arange(count) * len(known) // count]
    split, vectors = SomeImages((data.train, rows)), unit_vectors(source.take(data.train, rows))
    learned = match(
        lambda chosen, _views: vectors[chosen],
        np.ones(count, np.bool_),
        split,
        name=source.name,
        kind=source.kind,
        sha256=source.sha256,
    )
    if len(learned.targets.rows) < recipe.batch_size:
        raise InvalidInput(
            f"{len(learned.targets.rows)} images to learn from do not fill one batch of {recipe.batch_size}",
            hint="lower --batch-size, or raise --images",
        )
    recipe = with_teacher(recipe, learned, options)
    search = _labelled_search(data, source, recipe) or _unlabelled_search(split, vectors, learned)
    return Sample(recipe, split, vectors, learned, search, whole, len(known))


def _labelled_search(data: RetrievalData, source: VectorSource, recipe: Recipe) -> Search | None:
    """Queries and gallery of the data set; None if it has none, or there are no vectors of them."""
    if min(len(data.query), len(data.gallery)) == 0 or not _has_vectors(data, source):
        return None
    queries, gallery = ChosenImages(data, recipe.preprocessing, GALLERY, GALLERY).indices
    if len(queries) > QUERIES:
        queries = queries[np.arange(QUERIES) * len(queries) // QUERIES]
    vectors = unit_vectors(source.take(data.gallery, gallery))
    # A set that searches itself needs no second pass of the teacher.
    if data.exclude_self:
        own = vectors[np.searchsorted(gallery, queries)]
    else:
        own = unit_vectors(source.take(data.query, queries))
    return Search(SomeImages((data.query, queries)), own, vectors, data.relevance.restricted(queries, gallery))


def _has_vectors(data: RetrievalData, source: VectorSource) -> bool:
    """Whether there are vectors of all queries and gallery images."""
    train = set(data.train.relative_names)
    for split in (data.query, data.gallery):
        # A file of vectors cannot tell images apart that have the same name in two splits.
        if not source.known(split).all() or (source.kind == "vectors" and not train.isdisjoint(split.relative_names)):
            _LOG.info("the teacher's vectors of queries and gallery are not known; the figures are without labels")
            return False
    return True


def _unlabelled_search(split: SomeImages, vectors: Vectors, learned: Match) -> Search:
    rows = learned.targets.rows
    queries = np.setdiff1d(np.arange(len(vectors)), rows)
    queries = queries[np.arange(min(QUERIES, len(queries))) * len(queries) // min(QUERIES, len(queries))]
    return Search(SomeImages((split, queries)), vectors[queries], vectors[rows], None)


def spread_rows(rows: Labels, *, seed: int = 0) -> Labels:
    """The rows in a random order, so that the first ones of any number are spread over the images."""
    return np.random.default_rng(seed).permutation(rows)
