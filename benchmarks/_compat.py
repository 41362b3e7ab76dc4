"""Self-test and cross-test of a network's subnetworks, in torch, over capacities and patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from prunnet_export._console import warn
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.network import Checkpoint, adapt
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.relevance import Relevance
from prunnet_export.search import Evidence
from prunnet_export.search._evidence import batches, embed_in_torch
from prunnet_export.verification import RetrievalMetrics, choose, retrieval_metrics
from prunnet_export.verification._reference import Embeddings


@dataclass(frozen=True)
class Embedded:
    """What a subnetwork makes of the chosen images.

    Attributes:
        pattern: The shape of its zeros.
        asked: The capacity that was asked for.
        capacity: Kept fraction of the prunable weights.
        queries: float32 [n, d].
        gallery: float32 [m, d].
    """

    pattern: str
    asked: float
    capacity: float
    queries: Embeddings
    gallery: Embeddings


@dataclass(frozen=True)
class CompatRow:
    """One subnetwork under one judgement of what is relevant.

    Attributes:
        pattern: The shape of its zeros.
        asked: The capacity that was asked for.
        capacity: Kept fraction of the prunable weights.
        judged: Name of the judgement; ``label`` where labels say what is relevant.
        self_test: Query and gallery by the subnetwork.
        cross_test: Query by the subnetwork, gallery by the dense network.
    """

    pattern: str
    asked: float
    capacity: float
    judged: str
    self_test: RetrievalMetrics
    cross_test: RetrievalMetrics


@dataclass(frozen=True)
class MatrixCell:
    """Query by one subnetwork, gallery by another, under the judgement that counts.

    Attributes:
        query: The capacity that was asked for the query's.
        gallery: The capacity that was asked for the gallery's.
        metrics: What comes out.
    """

    query: float
    gallery: float
    metrics: RetrievalMetrics


@dataclass(frozen=True)
class Compatibility:
    """How well the subnetworks of a network search each other's galleries.

    Args:
        checkpoint: The network.
        evidence: The images.
        channel_multiple: Kept widths are multiples of this.
        say: Called with one line of progress.

    Raises:
        InvalidInput: the data set cannot be searched.
    """

    checkpoint: Checkpoint
    evidence: Evidence
    channel_multiple: int
    say: Callable[[str], None] = lambda _line: None

    @cached_property
    def chosen(self) -> tuple[Labels, Labels]:
        """Indices of the query and the gallery images."""
        limits = {"max_queries": self.evidence.max_queries, "max_gallery": self.evidence.max_gallery}
        return choose(self.evidence.data, **limits)

    @cached_property
    def dense_gallery(self) -> Embeddings:
        """The dense network's embeddings of the gallery, float32 [m, d]."""
        return self._embed(self.checkpoint.network.embedder, self.evidence.data.gallery, self.chosen[1])

    @cached_property
    def relevances(self) -> Mapping[str, Relevance]:
        """What is relevant among the chosen images, by the name of the judgement, the one that counts first.

        A judgement by which none of the chosen queries has anything to find is left out.
        """
        found = {name: one.restricted(*self.chosen) for name, one in self.evidence.data.relevances.items()}
        empty = [name for name, one in found.items() if not one.counts().any()]
        for name in empty:
            warn(f"{name} is left out: none of the chosen queries has a relevant image")
        return {name: one for name, one in found.items() if name not in empty}

    def embedded(self, pattern: str, capacities: Sequence[float]) -> Iterator[Embedded]:
        """The subnetworks' embeddings one by one, with BatchNorm re-estimated for each.

        Raises:
            InvalidInput: a capacity cannot be reached.
            UnsupportedPattern: the network cannot be cut like this.
        """
        data, (queries, gallery) = self.evidence.data, self.chosen
        shape = find_pattern(pattern, self.channel_multiple)
        subnetworks = shape.subnetworks(self.checkpoint.network, shape.shares(capacities))
        # Images are decoded again for every subnetwork: a full gallery at 224 pixels does not fit into memory.
        for subnetwork in subnetworks:
            self.say(f"{pattern} {subnetwork.asked:.0%}")
            module = materialise(self.checkpoint.network, subnetwork)
            if subnetwork.capacity < 1:
                adapt(module, self.checkpoint.network.embedder, self.evidence.statistics)
            own = self._embed(module, data.query, queries)
            same_images = data.exclude_self and np.array_equal(queries, gallery)
            yield Embedded(
                pattern=pattern,
                asked=subnetwork.asked,
                capacity=subnetwork.capacity,
                queries=own,
                gallery=own if same_images else self._embed(module, data.gallery, gallery),
            )

    def rows(self, embedded: Iterable[Embedded]) -> Iterator[CompatRow]:
        """Self-test and cross-test of each subnetwork under each judgement."""
        for one in embedded:
            for name, relevance in self.relevances.items():
                self_test, cross_test = (
                    retrieval_metrics(one.queries, gallery, relevance, self.evidence.data.protocol)
                    for gallery in (one.gallery, self.dense_gallery)
                )
                yield CompatRow(one.pattern, one.asked, one.capacity, name, self_test, cross_test)

    def matrix(self, embedded: Sequence[Embedded]) -> list[MatrixCell]:
        """Every query capacity against every gallery capacity, row by row; holds all embeddings at once."""
        relevance = next(iter(self.relevances.values()))
        return [
            MatrixCell(
                query.asked,
                gallery.asked,
                retrieval_metrics(query.queries, gallery.gallery, relevance, self.evidence.data.protocol),
            )
            for query in embedded
            for gallery in embedded
        ]

    def _embed(self, module: nn.Module, split: ImageSplit, indices: Labels) -> Embeddings:
        return embed_in_torch(module, batches(split, indices, self.evidence.preprocessing))
