"""Choosing which images a verification looks at: every class in turn, so that small samples stay fair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import Labels, RetrievalData

Indices = npt.NDArray[np.int64]

_LEAST_PER_CLASS = 4  # a class that is sampled at all brings this many gallery images, where it has them


def choose(data: RetrievalData, *, max_queries: int, max_gallery: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Indices of the query and gallery images to verify with, sorted.

    All of them where they fit. Otherwise classes are drawn at random, each brings its gallery images in turn,
    and only queries that have a relevant gallery image stay. Where query and gallery are the same images
    (``exclude_self``) both are the same choice.

    Raises:
        InvalidInput: there is no query, a single one, or none that has a relevant gallery image.
    """
    query, gallery = data.query.labels, data.gallery.labels
    if len(query) < 2:  # noqa: PLR2004  # one image says nothing about a spread or a ranking
        raise InvalidInput(
            f"{data.name} has {len(query)} query image{'s' if len(query) != 1 else ''}; two or more are needed",
            hint="add images to the query split",
        )
    generator = np.random.default_rng(seed)
    chosen_gallery = _choose(gallery, max_gallery, np.unique(query), generator)
    if data.exclude_self:
        return chosen_gallery, chosen_gallery
    candidates = np.flatnonzero(np.isin(query, gallery[chosen_gallery]))
    if len(candidates) == 0:
        raise InvalidInput(
            f"{data.name}: no query has a gallery image of its class", hint="query and gallery need common classes"
        )
    inside = _choose(query[candidates], max_queries, np.unique(query[candidates]), generator)
    return np.sort(candidates[inside]), chosen_gallery


def _choose(labels: Labels, most: int, first: Sequence[int] | Labels, generator: np.random.Generator) -> Indices:
    if len(labels) <= most:
        return np.arange(len(labels))
    classes = generator.permutation(np.asarray(first))
    brought = np.cumsum([min(_LEAST_PER_CLASS, int((labels == one).sum())) for one in classes])
    classes = classes[: max(1, int(np.searchsorted(brought, most, side="right")))]
    queues = [generator.permutation(np.flatnonzero(labels == one)) for one in classes]
    longest = max((len(queue) for queue in queues), default=0)
    in_turn = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return np.sort(np.array(in_turn[:most], np.int64))
