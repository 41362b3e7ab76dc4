"""Self-test and cross-test of a network's subnetworks, in torch, over capacities and patterns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.network import Checkpoint, reestimate_batchnorm
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.search import Evidence
from prunnet_export.search._evidence import batches, embed_in_torch
from prunnet_export.verification import RetrievalMetrics, choose, retrieval_metrics
from prunnet_export.verification._reference import Embeddings

DEPTHS = (1, 10)


@dataclass(frozen=True)
class CompatRow:
    """One subnetwork.

    Attributes:
        pattern: The shape of its zeros.
        asked: The capacity that was asked for.
        capacity: Kept fraction of the prunable weights.
        self_test: Query and gallery by the subnetwork.
        cross_test: Query by the subnetwork, gallery by the dense network.
    """

    pattern: str
    asked: float
    capacity: float
    self_test: RetrievalMetrics
    cross_test: RetrievalMetrics


def compatibility(
    checkpoint: Checkpoint,
    evidence: Evidence,
    *,
    patterns: Sequence[str],
    capacities: Sequence[float],
    channel_multiple: int,
    say: Callable[[str], None] = lambda _line: None,
) -> list[CompatRow]:
    """Metrics of each (pattern, capacity), with BatchNorm re-estimated for each.

    Raises:
        InvalidInput: a capacity cannot be reached, or the data set cannot be searched.
        UnsupportedPattern: the network cannot be cut like this.
    """
    data, preprocessing = evidence.data, evidence.preprocessing
    queries, gallery = choose(data, max_queries=evidence.max_queries, max_gallery=evidence.max_gallery)
    labels = data.query.labels[queries], data.gallery.labels[gallery]

    # Images are decoded again for every subnetwork: a full gallery at 224 pixels does not fit into memory.
    def embed(module: nn.Module, split: ImageSplit, indices: Labels) -> Embeddings:
        return embed_in_torch(module, batches(split, indices, preprocessing))

    dense_gallery = embed(checkpoint.network.embedder, data.gallery, gallery)
    rows = []
    for pattern in patterns:
        subnetworks = find_pattern(pattern).subnetworks(
            checkpoint.network, capacities, channel_multiple=channel_multiple
        )
        for subnetwork in subnetworks:
            say(f"{pattern} {subnetwork.asked:.0%}")
            module = materialise(checkpoint.network, subnetwork)
            if subnetwork.capacity < 1:
                reestimate_batchnorm(module, evidence.statistics())
            own_queries = embed(module, data.query, queries)
            own_gallery = own_queries if data.exclude_self else embed(module, data.gallery, gallery)
            self_test, cross_test = (
                retrieval_metrics(own_queries, other, *labels, exclude_self=data.exclude_self, ks=DEPTHS)
                for other in (own_gallery, dense_gallery)
            )
            rows.append(CompatRow(pattern, subnetwork.asked, subnetwork.capacity, self_test, cross_test))
    return rows
