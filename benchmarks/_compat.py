"""Self-test and cross-test of a network's subnetworks, in torch, over capacities and patterns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from torch import nn

from prunnet_export.evaluating import (
    ChosenImages,
    Embeddings,
    Evidence,
    RetrievalMetrics,
    embed_in_torch,
    retrieval_metrics,
)
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.relevance import Relevance

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embedded:
    """The embeddings of the chosen images by one subnetwork.

    Attributes:
        pattern: Name of the pattern.
        asked: The requested capacity.
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
    """The figures of one subnetwork by one definition of which gallery images are relevant.

    Attributes:
        judged: Name of the definition; ``label`` if labels define what is relevant.
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
class PairCell:
    """The figures for one requested query capacity and one gallery capacity, by the main definition of relevance."""

    query: float
    gallery: float
    metrics: RetrievalMetrics


@dataclass(frozen=True)
class Compatibility:
    """How well the subnetworks of a network search each other's galleries.

    Args:
        evidence: The network and the images.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        InvalidInput: the data set cannot be searched.
    """

    evidence: Evidence
    channel_multiple: int

    @property
    def images(self) -> ChosenImages:
        """The query and gallery images."""
        return self.evidence.images

    @cached_property
    def dense_gallery(self) -> Embeddings:
        """The dense network's embeddings of the gallery, float32 [m, d]."""
        return self.images.embed_gallery(partial(embed_in_torch, self.evidence.checkpoint.network.embedder))

    @cached_property
    def relevances(self) -> Mapping[str, Relevance]:
        """The definitions of what is relevant among the chosen images, by name, the main one first.

        A definition by which none of the chosen queries has a relevant image is left out.
        """
        found = {name: one.restricted(*self.images.indices) for name, one in self.evidence.data.relevances.items()}
        empty = [name for name, one in found.items() if not one.counts().any()]
        for name in empty:
            _LOG.warning("%s is left out: none of the chosen queries has a relevant image", name)
        return {name: one for name, one in found.items() if name not in empty}

    def embedded(self, pattern: str, capacities: Sequence[float]) -> Iterator[Embedded]:
        """Embed the images by one subnetwork after the other, with re-estimated BatchNorm statistics.

        Raises:
            InvalidInput: a capacity cannot be reached.
            UnsupportedPattern: the network cannot be cut like this.
        """
        # Images are decoded again for every subnetwork, because a full gallery at 224 pixels does not fit into memory.
        for subnetwork, module in settled(self.evidence, pattern, capacities, self.channel_multiple):
            yield Embedded(pattern, subnetwork.asked, subnetwork.capacity, *self._embed(module))

    def rows(self, embedded: Iterable[Embedded]) -> Iterator[CompatRow]:
        """Self-test and cross-test of each subnetwork by each definition of relevance."""
        for one in embedded:
            for name, relevance in self.relevances.items():
                tests = self.images.self_and_cross_test(one.queries, one.gallery, self.dense_gallery, relevance)
                yield CompatRow(one.pattern, one.asked, one.capacity, name, *tests)

    def all_pairs(self, embedded: Sequence[Embedded]) -> list[PairCell]:
        """Every query capacity with every gallery capacity, row by row. This needs all embeddings in memory."""
        relevance = next(iter(self.relevances.values()))
        return [
            PairCell(
                query.asked,
                gallery.asked,
                retrieval_metrics(query.queries, gallery.gallery, relevance, self.evidence.data.protocol),
            )
            for query in embedded
            for gallery in embedded
        ]

    def _embed(self, module: nn.Module) -> tuple[Embeddings, Embeddings]:
        """Embeddings of the query images and of the gallery images."""
        embed = partial(embed_in_torch, module)
        queries = self.images.embed_queries(embed)
        return queries, self.images.embed_gallery(embed, queries)


def settled(
    evidence: Evidence, pattern: str, capacities: Sequence[float], channel_multiple: int
) -> Iterator[tuple[Subnetwork, nn.Module]]:
    """The subnetworks of a pattern as modules, with BatchNorm statistics and projectors of their own.

    Raises:
        InvalidInput: a capacity cannot be reached.
        UnsupportedPattern: the network cannot be cut like this.
    """
    network, shape = evidence.checkpoint.network, find_pattern(pattern, channel_multiple)
    for subnetwork in shape.subnetworks(network, shape.shares(capacities)):
        _LOG.info("%s %.0f%%", pattern, 100 * subnetwork.asked)
        module = materialise(network, subnetwork)
        if subnetwork.capacity < 1:
            evidence.settle(module)
        yield subnetwork, module
