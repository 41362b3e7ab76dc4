"""Choosing which images a verification looks at: every class in turn, so that small samples stay fair."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import Labels, RetrievalData
from prunnet_export.relevance import Indices, Relevance

_LEAST_QUERIES = 2  # one image says nothing about a spread or a ranking
_LEAST_PER_GROUP = 4  # a class that is sampled at all brings this many gallery images, where it has them


def choose(data: RetrievalData, *, max_queries: int, max_gallery: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Indices of the query and gallery images to verify with, sorted.

    All of them where they fit. Otherwise classes are drawn at random and each brings its gallery images in turn; where
    a list says what is relevant, queries are drawn and bring theirs. Only queries that have a relevant gallery image
    left stay. Where query and gallery are the same images (``exclude_self``), the queries are those of the gallery's
    choice.

    Raises:
        InvalidInput: fewer than two queries are there, or have a relevant gallery image.
    """
    query, gallery, relevance = data.query.labels, data.gallery.labels, data.relevance
    if len(query) < _LEAST_QUERIES:
        raise InvalidInput(
            f"{data.name} has {len(query)} query image{'s' if len(query) != 1 else ''}; two or more are needed",
            hint="add images to the query split",
        )
    generator = np.random.default_rng(seed)
    chosen = np.arange(len(gallery))
    if len(gallery) > max_gallery:
        groups = _classes(gallery, query[relevance.counts() > 0]) if data.judged is None else _answers(relevance)
        chosen = _in_turn(groups, max_gallery, generator)
    candidates = chosen if data.exclude_self else np.arange(len(query))
    answered = candidates[relevance.restricted(candidates, chosen).counts() > 0]
    if len(answered) < _LEAST_QUERIES:
        raise InvalidInput(
            f"{data.name}: {len(answered)} of {len(candidates)} queries have a relevant gallery image;"
            " two or more are needed",
            hint="query and gallery need images that match, and a larger --max-gallery leaves more of them",
        )
    candidates = answered
    if len(candidates) > max_queries and not data.exclude_self:
        inside = _in_turn(_classes(query[candidates], query[candidates]), max_queries, generator)
        candidates = candidates[inside]
    return candidates, chosen


def _classes(labels: Labels, wanted: Labels) -> list[Indices]:
    """The rows of each wanted class."""
    order = np.argsort(labels, kind="stable")
    classes = np.unique(wanted)
    firsts, lasts = (np.searchsorted(labels[order], classes, side) for side in ("left", "right"))
    return [order[first:last] for first, last in zip(firsts, lasts, strict=True)]


def _answers(relevance: Relevance) -> list[Indices]:
    """The gallery rows that are relevant to each query."""
    return [np.flatnonzero(relevance.rows(query, query + 1)[0][0]) for query in range(len(relevance))]


def _in_turn(groups: Iterable[Indices], most: int, generator: np.random.Generator) -> Indices:
    """At most ``most`` rows: random groups that fit with a few rows each, and of these groups one row in turn."""
    drawn = [group for group in groups if len(group)]
    drawn = [drawn[index] for index in generator.permutation(len(drawn))]
    brought = np.cumsum([min(_LEAST_PER_GROUP, len(group)) for group in drawn])
    drawn = drawn[: max(1, int(np.searchsorted(brought, most, side="right")))]
    queues = [generator.permutation(group) for group in drawn]
    longest = max((len(queue) for queue in queues), default=0)
    # Groups may share rows, where a list says what is relevant.
    in_turn = dict.fromkeys(int(queue[turn]) for turn in range(longest) for queue in queues if turn < len(queue))
    return np.sort(np.array(list(in_turn)[:most], np.int64))
