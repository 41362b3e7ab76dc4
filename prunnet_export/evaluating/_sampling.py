"""Choosing the images of a verification: from each class in turn, so that a small sample is fair to all classes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import Labels, RetrievalData
from prunnet_export.relevance import Indices, Relevance

_LEAST_QUERIES = 2  # a spread needs two images
_LEAST_PER_GROUP = 4  # so few groups are drawn that each can give this many rows, if it has as many


def evenly_spread(count: int, most: int) -> Indices:
    """Indices of at most ``most`` of ``count`` things, evenly spread, sorted."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)


def choose(data: RetrievalData, *, max_queries: int, max_gallery: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Indices of the query and gallery images to verify with, sorted.

    If the gallery is too large, groups are drawn at random, and one image of each group is taken in turn. A group is a
    class, or, if the data set has lists of relevant images, the list of one query. Queries without a relevant image
    among the chosen ones are left out; the others are drawn by class if they are too many. If query and gallery are
    the same images (``exclude_self``), the queries are the chosen gallery images.

    Raises:
        InvalidInput: there are fewer than two queries, or fewer than two have a relevant gallery image.
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
        groups = _classes(gallery, query[relevance.counts() > 0]) if data.judged is None else _relevant_rows(relevance)
        chosen = _sample(groups, max_gallery, generator)
    candidates = chosen if data.exclude_self else np.arange(len(query))
    with_match = candidates[relevance.restricted(candidates, chosen).counts() > 0]
    if len(with_match) < _LEAST_QUERIES:
        raise InvalidInput(
            f"{data.name}: {len(with_match)} of {len(candidates)} queries have a relevant gallery image;"
            " two or more are needed",
            hint="query and gallery need images that match, and a larger --max-gallery leaves more of them",
        )
    candidates = with_match
    if len(candidates) > max_queries and not data.exclude_self:
        candidates = candidates[_sample(_classes(query[candidates], query[candidates]), max_queries, generator)]
    return candidates, chosen


def _classes(labels: Labels, wanted: Labels) -> list[Indices]:
    """The rows of each wanted class."""
    order = np.argsort(labels, kind="stable")
    classes = np.unique(wanted)
    firsts, lasts = (np.searchsorted(labels[order], classes, side) for side in ("left", "right"))
    return [order[first:last] for first, last in zip(firsts, lasts, strict=True)]


def _relevant_rows(relevance: Relevance) -> list[Indices]:
    """The gallery rows that are relevant to each query."""
    return [np.flatnonzero(relevance.rows(query, query + 1)[0][0]) for query in range(len(relevance))]


def _sample(groups: Iterable[Indices], most: int, generator: np.random.Generator) -> Indices:
    """At most ``most`` rows: draws as many groups as fit with a few rows each, then takes one row of each in turn."""
    drawn = [group for group in groups if len(group)]
    drawn = [drawn[index] for index in generator.permutation(len(drawn))]
    needed = np.cumsum([min(_LEAST_PER_GROUP, len(group)) for group in drawn])
    drawn = drawn[: max(1, int(np.searchsorted(needed, most, side="right")))]
    queues = [generator.permutation(group) for group in drawn]
    longest = max((len(queue) for queue in queues), default=0)
    # A dict removes repeated rows: lists of relevant images may share rows.
    rows = dict.fromkeys(int(queue[turn]) for turn in range(longest) for queue in queues if turn < len(queue))
    return np.sort(np.array(list(rows)[:most], np.int64))
