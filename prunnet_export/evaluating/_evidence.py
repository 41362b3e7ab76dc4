"""The images of an export: for BatchNorm statistics, for calibration and for the verification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels, RetrievalData, open_dataset
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._images import ChosenImages, Embeddings, inputs_of
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._torch import embed_in_torch, statistics_inputs
from prunnet_export.network import Checkpoint, Embedder, adapt
from prunnet_export.network_config import STATISTICS_IMAGES
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.relevance import ByLabel, Relevance

CALIBRATION_IMAGES = 300  # a usual number for post-training quantisation


@dataclass(frozen=True)
class Evidence:
    """The network and the images of an export.

    Args:
        checkpoint: The network.
        data: The images.
        max_queries: Verify with at most this many query images.
        max_gallery: Verify with at most this many gallery images.
        gallery: A gallery that the dense network embedded earlier; None embeds the data set's gallery.
    """

    checkpoint: Checkpoint
    data: RetrievalData
    max_queries: int
    max_gallery: int
    gallery: Gallery | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """The network's preprocessing."""
        return self.checkpoint.config.preprocessing

    @cached_property
    def images(self) -> ChosenImages:
        """The query and gallery images of the data set."""
        return ChosenImages(self.data, self.preprocessing, self.max_queries, self.max_gallery)

    def calibration(self) -> Iterator[Tensor]:
        """Training images for the ranges of quantised activations, chosen like those for BatchNorm statistics."""
        return self.statistics(CALIBRATION_IMAGES)

    def statistics(self, limit: int = STATISTICS_IMAGES) -> Iterator[Tensor]:
        """Training images for BatchNorm statistics.

        If the data set has none, they are the images that the network was trained on.

        Raises:
            InvalidInput: there are fewer than two, or none and the network does not name its training data.
        """
        name, train = self.data.name, self.data.train
        if len(train) == 0:
            name, train = self._trained_on(name)
        count = min(limit, len(train))
        if count < 2:  # noqa: PLR2004  # one image has no variance
            raise InvalidInput(
                f"{name} has {count} train image{'s' if count != 1 else ''}; statistics need two or more",
                hint="add images to the train split",
            )
        return statistics_inputs(train, self.preprocessing, limit)

    def settle(self, module: Embedder) -> None:
        """Give a cut network BatchNorm statistics and a projector of its own, in place."""
        adapt(module, self.checkpoint.network.embedder, self.statistics)

    def _trained_on(self, name: str) -> tuple[str, ImageSplit]:
        source = self.checkpoint.config.data
        if source is None:
            raise InvalidInput(
                f"{name} has no train images for BatchNorm statistics, and the network does not say what it was"
                " trained on",
                hint="give --data with a train split",
            )
        own = open_dataset(source.source, layout=source.layout, seed=source.seed)
        return own.name, own.train

    def dense(self) -> DenseSide:
        """The dense network's embeddings of the verification images; slow, so an export computes them once."""

        def embed(indices: Labels, split: ImageSplit) -> Embeddings:
            network = self.checkpoint.network.embedder
            return embed_in_torch(network, inputs_of(split, indices, self.preprocessing))

        queries, gallery = self.images.indices
        if self.gallery is None:
            embeddings = embed(gallery, self.data.gallery)
            relevance: Relevance | None = self.data.relevance.restricted(queries, gallery)
        else:
            embeddings = self.gallery.embeddings
            queries, relevance = self._in_given_gallery(queries, self.gallery.labels)
        return DenseSide(queries, embed(queries, self.data.query), embeddings, relevance)

    def _in_given_gallery(self, queries: Labels, labels: Labels | None) -> tuple[Labels, Relevance | None]:
        """The queries with relevant images in the given gallery, and the relevance; all queries if it is not known."""
        data = self.data
        if labels is None:
            return queries, None
        if np.array_equal(labels, data.gallery.labels):  # the data set's whole gallery, in its order
            relevance = data.relevance.restricted(queries, np.arange(len(labels)))
        elif data.judged is None and not data.exclude_self and data.query.cameras is None:
            relevance = ByLabel(data.query.labels[queries], labels)
        else:  # judgements, own images and cameras belong to the data set's rows, which this gallery does not have
            return queries, None
        rows = np.flatnonzero(relevance.counts())
        if len(rows) < 2:  # noqa: PLR2004  # a spread needs two images
            raise InvalidInput(
                f"the gallery has relevant images of {len(rows)} of the {len(queries)} queries",
                hint="its labels have to be those of the data set; leave them out to compare neighbours instead",
            )
        return queries[rows], relevance.restricted(rows, np.arange(len(labels)))

    def reference(self, dense: DenseSide, subnetwork: nn.Module) -> Reference:
        """The reference that the exported subnetwork is verified against."""
        inputs = inputs_of(self.data.query, dense.queries, self.preprocessing)
        return Reference(
            network=self.checkpoint.config.weights_sha256,
            source=self.data.name,
            images=tuple(self.data.query.encoded(int(index)) for index in dense.queries),
            dense_queries=dense.query_embeddings,
            subnetwork_queries=embed_in_torch(subnetwork, inputs),
            gallery=dense.gallery_embeddings,
            relevance=dense.relevance,
            protocol=self.data.protocol,
        )


@dataclass(frozen=True)
class DenseSide:
    """The dense network's embeddings of the verification images.

    Attributes:
        queries: Indices into the query split.
        query_embeddings: float32 [n, d].
        gallery_embeddings: float32 [m, d], of the data set's gallery or of a given gallery.
        relevance: Relevance of m gallery images to n queries; None if it is not known.
    """

    queries: Labels
    query_embeddings: Embeddings
    gallery_embeddings: Embeddings
    relevance: Relevance | None
