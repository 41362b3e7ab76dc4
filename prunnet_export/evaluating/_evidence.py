"""The images of an export: for BatchNorm statistics, for calibration and for the verification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels, RetrievalData, open_dataset
from prunnet_export.evaluating._foreign_teacher import LEAST_QUERIES, sample_of, side_of_teacher
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._gallery_labels import relevance_in_gallery, warn_of_unused_labels
from prunnet_export.evaluating._given_gallery import open_gallery
from prunnet_export.evaluating._held_out import without_changed, without_queries
from prunnet_export.evaluating._images import ChosenImages, Embeddings, SomeImages, inputs_of, query_inputs
from prunnet_export.evaluating._own_gallery import check_labels_of_names, check_own_labels
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._teacher_side import TeacherSide
from prunnet_export.evaluating._torch import embed_in_torch, settling_inputs, settling_vectors, statistics_inputs
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.network import Checkpoint, Embedder, adapt
from prunnet_export.network_config import LEAST_STATISTICS_IMAGES, STATISTICS_IMAGES
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.relevance import Relevance
from prunnet_export.teachers import TeacherSample
from prunnet_export.vectors import Metric

CALIBRATION_IMAGES = 300  # a usual number for post-training quantisation


@dataclass(frozen=True)
class Evidence:
    """The network and the images of an export.

    Args:
        checkpoint: The network.
        data: The images.
        max_queries: Verify with at most this many query images.
        max_gallery: Verify with at most this many gallery images of the data set; a given gallery is used whole.
        gallery: A gallery that the teacher made. None embeds the data set's gallery with the dense network or, if the
            network has another teacher, takes the teacher's vectors that are stored with the network.
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

        If the data set has none, they are the images that the network was trained on. Images that a training with a
        teacher held out are the queries of the verification, so they are left out.

        Raises:
            InvalidInput: there are fewer than two, or none and the network does not name its training data.
        """
        name, train = self._train
        if self.sample is not None:
            train = without_queries(train, self.sample)
        count = min(limit, len(train))
        if count < LEAST_STATISTICS_IMAGES:
            raise InvalidInput(
                f"{name} has {count} train image{'s' if count != 1 else ''}; statistics need two or more",
                hint="add images to the train split",
            )
        return statistics_inputs(train, self.preprocessing, limit)

    def settle(self, module: Embedder) -> None:
        """Give a cut network BatchNorm statistics and a projector of its own, in place.

        If the network has a teacher, and the images that it learned from are there, the projector is refitted to the
        teacher's vectors of some of them, else to the dense network's outputs. Images that changed since the training
        are left out; if most of them did, the dense network's outputs are taken.

        Raises:
            InvalidInput: there are too few training images, or one cannot be read.
        """
        dense, (_, train), sample = self.checkpoint.network.embedder, self._train, self._settling
        if sample is not None:
            images = partial(settling_inputs, train, sample, self.preprocessing)
            adapt(module, dense, images, partial(settling_vectors, sample))
        else:
            adapt(module, dense, self.statistics)

    @cached_property
    def _settling(self) -> TeacherSample | None:
        """The teacher's vectors of training images that are there as they were; None if there are too few."""
        train, sample = self._train[1], self.sample
        if sample is None or not _has_images_of(train, sample):
            return None
        return without_changed(train, sample)

    @cached_property
    def _train(self) -> tuple[str, ImageSplit]:
        """The name of a data set and its training images: this one's, or those that the network was trained on."""
        name = self.data.name
        if len(self.data.train):
            return name, self.data.train
        source = self.checkpoint.config.data
        if source is None:
            raise InvalidInput(
                f"{name} has no train images for BatchNorm statistics, and the network does not say what it was"
                " trained on",
                hint="give --data with a train split",
            )
        try:
            own = open_dataset(source.place, layout=source.layout, seed=source.seed)
        except InvalidInput as error:
            raise InvalidInput(
                f"{name} has no train images, and the network was trained on others: {error.message}",
                hint="give --data with a train split, or move the images back",
            ) from None
        return own.name, own.train

    def with_gallery(self, place: Path | GalleryAddress, *, metric: Metric | None = None) -> Evidence:
        """The same network and images with a gallery of the teacher.

        Args:
            place: A file of vectors, of which no code is executed, or the address of a database.
            metric: The metric of the service; None takes the one that the file states, else the cosine.

        Raises:
            InvalidInput: it is damaged, or it is not what it says; the message says what contradicts it.
            Unreachable: the database does not answer.
        """
        return replace(self, gallery=open_gallery(place, self.checkpoint.config, self.sample, metric=metric))

    @cached_property
    def sample(self) -> TeacherSample | None:
        """The teacher's vectors that are stored with the network; None if it has no teacher but itself.

        Raises:
            InvalidInput: the file is missing, damaged, or of another network.
        """
        return sample_of(self.checkpoint.config, self.checkpoint.folder)

    def teacher_side(self, *, refuse_chance: bool = True) -> TeacherSide:
        """The query images, the teacher's embeddings of them, and the gallery; slow, so an export makes it once.

        Args:
            refuse_chance: Whether a dense network that finds images by chance is refused. If not, it is warned of. A
                gallery that is given is refused in any case.

        Raises:
            InvalidInput: images or gallery are not what they should be; the message says what contradicts it.
        """
        if self.sample is not None:
            side = side_of_teacher(self.data, self.sample, self.gallery, most=self.max_queries)
        else:
            side = self._dense_side()
        if self.gallery is not None:
            side.check(what=self.gallery.entry.file or "the gallery")
        elif self.sample is None:
            side.check(what=None, refuse_chance=refuse_chance)
        return side

    def _dense_side(self) -> TeacherSide:
        """The dense network as its own teacher."""
        embed = self._embed
        queries, chosen = self.images.indices
        if self.gallery is None:
            gallery = Gallery.in_memory(embed(chosen, self.data.gallery))
            relevance: Relevance | None = self.data.relevance.restricted(queries, chosen)
        else:
            gallery = self.gallery
            queries, relevance = self._in_given_gallery(queries, gallery.labels)
            if relevance is not None:
                own = self.data.gallery
                check_labels_of_names(gallery, (own,), data=self.data.name)
                check_own_labels(gallery, own, lambda indices: embed(indices, own), data=self.data.name)
        images = SomeImages((self.data.query, queries))
        return TeacherSide(images, embed(queries, self.data.query), gallery, relevance)

    def _embed(self, indices: Labels, split: ImageSplit) -> Embeddings:
        """Embeddings of some images of a split by the dense network, float32 [k, d], unit vectors."""
        return embed_in_torch(self.checkpoint.network.embedder, inputs_of(split, indices, self.preprocessing))

    def _in_given_gallery(self, queries: Labels, labels: npt.NDArray[Any] | None) -> tuple[Labels, Relevance | None]:
        """The queries with relevant images in the given gallery, and the relevance; all queries if it is not known."""
        data = self.data
        if labels is None:
            return queries, None
        relevance: Relevance | None
        if np.array_equal(labels, data.gallery.labels):  # the data set's whole gallery, in its order
            relevance = data.relevance.restricted(queries, np.arange(len(labels)))
        elif data.judged is None and not data.exclude_self and data.query.cameras is None:
            names = data.query.relative_names
            chosen = [names[index] for index in queries]
            relevance = relevance_in_gallery(chosen, data.query.labels[queries], None, labels, count=len(labels))
        else:  # judgements, own images and cameras belong to the data set's rows, which this gallery does not have
            warn_of_unused_labels(data)
            relevance = None
        if relevance is None:
            return queries, None
        rows = np.flatnonzero(relevance.counts())
        if len(rows) < LEAST_QUERIES:
            raise InvalidInput(
                f"the gallery has relevant images of {len(rows)} of the {len(queries)} queries",
                hint="its labels have to be those of the data set; leave them out to compare neighbours instead",
            )
        return queries[rows], relevance.restricted(rows, np.arange(len(labels)))

    def embed_queries(self, side: TeacherSide, module: nn.Module) -> Embeddings:
        """Embeddings of the query images by a network in torch, float32 [n, d], unit vectors."""
        return embed_in_torch(module, self.query_inputs(side))

    def query_inputs(self, side: TeacherSide) -> Iterator[Embeddings]:
        """Inputs float32 [<= 250, 3, h, w] of the query images, from their files' bytes as an artifact makes them."""
        return query_inputs(side.images, self.preprocessing)

    def reference(self, side: TeacherSide, subnetwork: Embeddings, observed: Embeddings) -> Reference:
        """The reference that an exported subnetwork is verified against.

        Args:
            side: The result of :meth:`teacher_side`.
            subnetwork: float32 [n, d], the torch subnetwork's embeddings of the query images.
            observed: float32 [n, d], the exported file's embeddings of the query images.
        """
        rows = side.kept_rows(observed)
        gallery, relevance = side.part(rows)
        return Reference(
            network=self.checkpoint.config.weights_sha256,
            source=self.data.name,
            images=tuple(side.images.encoded(index) for index in range(len(side.images))),
            teacher_queries=side.queries,
            subnetwork_queries=subnetwork,
            gallery=gallery,
            entry=side.gallery.entry,
            relevance=relevance,
            protocol=self.data.protocol,
            rows=rows,
        )


def _has_images_of(train: ImageSplit, sample: TeacherSample) -> bool:
    """Whether the training images of a sample are all there, and enough for BatchNorm statistics."""
    names = sample.names_of(queries=False)
    return len(names) >= LEAST_STATISTICS_IMAGES and names.issubset(train.relative_names)
