"""The images of an export: what statistics are taken on and what the result is verified with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels, RetrievalData, open_dataset
from prunnet_export.network import Checkpoint, Normalised, statistics_batches
from prunnet_export.network_config import STATISTICS_IMAGES
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.relevance import ByLabel, Relevance
from prunnet_export.verification import Gallery, Reference, choose
from prunnet_export.verification._reference import Embeddings

CALIBRATION_IMAGES = 300  # what post-training quantisation is usually given
CHUNK = 250  # images that are decoded and held at a time


@dataclass(frozen=True)
class Evidence:
    """What an export is judged on.

    Args:
        checkpoint: The network.
        data: The images.
        max_queries: Query images to verify with.
        max_gallery: Gallery images to verify with.
        gallery: A gallery that the dense network made earlier, in place of the data set's.
    """

    checkpoint: Checkpoint
    data: RetrievalData
    max_queries: int = 500
    max_gallery: int = 1000
    gallery: Gallery | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """The network's own."""
        return self.checkpoint.config.preprocessing

    def calibration(self) -> Iterator[Tensor]:
        """Training images for the ranges of quantised activations; fewer, and chosen as for the statistics."""
        return self.statistics(CALIBRATION_IMAGES)

    def statistics(self, limit: int = STATISTICS_IMAGES) -> Iterator[Tensor]:
        """Training images for BatchNorm statistics, as :func:`statistics_batches` chooses them.

        A data set for tests alone has none: then they are those that the network was trained on.

        Raises:
            InvalidInput: there are fewer than two, or none and the network does not say what it was trained on.
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
        for batch in statistics_batches(len(train), limit):
            yield torch.from_numpy(self.preprocessing([train.image(int(index)) for index in batch]))

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
        """What the dense network makes of the verification images; expensive, so made once an export."""
        queries, gallery = choose(self.data, max_queries=self.max_queries, max_gallery=self.max_gallery)
        dense = self.checkpoint.network.embedder
        if self.gallery is None:
            embeddings = embed_in_torch(dense, batches(self.data.gallery, gallery, self.preprocessing))
            relevance: Relevance | None = self.data.relevance.restricted(queries, gallery)
        else:
            embeddings = self.gallery.embeddings
            queries, relevance = self._in_given_gallery(queries, self.gallery.labels)
        return DenseSide(
            queries=queries,
            gallery=gallery,
            own_gallery=self.gallery is None,
            query_embeddings=embed_in_torch(dense, batches(self.data.query, queries, self.preprocessing)),
            gallery_embeddings=embeddings,
            relevance=relevance,
        )

    def _in_given_gallery(self, queries: Labels, labels: Labels | None) -> tuple[Labels, Relevance | None]:
        """The queries that have something to find in the given gallery, and what; all of them where nobody knows."""
        data = self.data
        if labels is None:
            return queries, None
        if np.array_equal(labels, data.gallery.labels):  # the data set's whole gallery, in its order
            relevance = data.relevance.restricted(queries, np.arange(len(labels)))
        elif data.judged is None and not data.exclude_self and data.query.cameras is None:
            relevance = ByLabel(data.query.labels[queries], labels)
        else:  # nothing says which of these rows the data set judges by number, or removes from a ranking
            return queries, None
        answered = np.flatnonzero(relevance.counts())
        if len(answered) < 2:  # noqa: PLR2004  # one image says nothing about a spread or a ranking
            raise InvalidInput(
                f"the gallery has relevant images of {len(answered)} of the {len(queries)} queries",
                hint="its labels have to be those of the data set; leave them out to compare neighbours instead",
            )
        return queries[answered], relevance.restricted(answered, np.arange(len(labels)))

    def reference(self, dense: DenseSide, subnetwork: nn.Module) -> Reference:
        """The reference that the exported subnetwork is held against."""
        inputs = batches(self.data.query, dense.queries, self.preprocessing)
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
    """The dense network's view of the verification images.

    Attributes:
        queries: Indices into the query split.
        gallery: Indices into the gallery split.
        own_gallery: The gallery is the data set's, not one that was given as a file.
        query_embeddings: float32 [n, d].
        gallery_embeddings: float32 [m, d].
        relevance: Of n queries and m gallery images, or None where it is not known.
    """

    queries: Labels
    gallery: Labels
    own_gallery: bool
    query_embeddings: Embeddings
    gallery_embeddings: Embeddings
    relevance: Relevance | None


def batches(split: ImageSplit, indices: Iterable[int] | Labels, preprocessing: Preprocessing) -> Iterator[Embeddings]:
    """Inputs float32 [<= CHUNK, 3, crop, crop] of the images at the indices, in order."""
    chosen = [int(index) for index in indices]
    for start in range(0, len(chosen), CHUNK):
        yield preprocessing([split.image(index) for index in chosen[start : start + CHUNK]])


def embed_in_torch(module: nn.Module, inputs: Iterable[Embeddings]) -> Embeddings:
    """Unit vectors float32 [n, d] of an embedder, computed by torch."""
    deployed = Normalised(module).eval()
    with torch.inference_mode():
        parts = [deployed(part).numpy() for batch in inputs for part in torch.split(torch.from_numpy(batch), 50)]
    joined: Embeddings = np.concatenate(parts)
    return joined
