"""The side of a teacher that is not the network itself, but the model whose gallery the network answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._files import sha256
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._gallery_labels import relevance_in_gallery, warn_of_unused_labels
from prunnet_export.evaluating._held_out import held_out_images
from prunnet_export.evaluating._own_gallery import check_labels_of_names
from prunnet_export.evaluating._teacher_side import TeacherSide
from prunnet_export.network_config import TEACHER_FILE, NetworkConfig
from prunnet_export.teachers import TeacherSample, load_sample

LEAST_QUERIES = 2  # a spread needs two images
LEAST_GALLERY = 10  # as many neighbours are compared


def sample_of(config: NetworkConfig, folder: Path) -> TeacherSample | None:
    """The teacher's vectors in the folder of a network; None if the network has no teacher.

    Raises:
        InvalidInput: the file is missing, damaged, of other vectors, or of another network.
    """
    if config.teacher is None:
        return None
    file = folder / TEACHER_FILE
    sample = load_sample(file)
    if sha256(file) != config.teacher.sample_sha256 or sample.dim != config.embedding_dim:
        raise InvalidInput(
            f"{file} is not the file that the network was written with",
            hint="copy the whole folder of the network again",
        )
    return sample


def side_of_teacher(data: RetrievalData, sample: TeacherSample, gallery: Gallery | None, *, most: int) -> TeacherSide:
    """The side of a teacher, whose vectors of some images are known.

    Args:
        data: The data set with the images that the training held out; they are the queries.
        sample: The teacher's vectors.
        gallery: The teacher's gallery. None takes its vectors of training images, with the labels of the data set.
        most: Take at most so many queries.

    Raises:
        InvalidInput: images are missing or have changed; the gallery has no image that is relevant to a query, or its
            labels contradict its names.
    """
    held_out = held_out_images(data, sample, most=most)
    labelled = data.has_labels and data.judged is None
    if gallery is not None and gallery.labels is not None and not labelled:
        warn_of_unused_labels(data)
    if gallery is not None and labelled:
        check_labels_of_names(gallery, (data.train, data.query, data.gallery), data=data.name)
    searched = _training_vectors(data, sample, labelled=labelled) if gallery is None else gallery
    relevance = relevance_in_gallery(
        held_out.names,
        held_out.images.labels if labelled else None,
        searched.names,
        searched.labels,
        count=searched.entry.count,
    )
    side = TeacherSide(held_out.images, held_out.embeddings, searched, relevance)
    if relevance is None or not labelled or searched.labels is None:
        return side
    judged = np.flatnonzero(relevance.counts())
    if len(judged) >= LEAST_QUERIES:
        return side.of_queries(judged)
    if gallery is None:  # the training images that are known may happen to be of other classes
        return replace(side, relevance=None)
    raise InvalidInput(
        f"the gallery has relevant images of {len(judged)} of the {len(side.queries)} queries",
        hint="its labels have to be the data set's class folders or numbers; leave them out to compare neighbours",
    )


def _training_vectors(data: RetrievalData, sample: TeacherSample, *, labelled: bool) -> Gallery:
    """The teacher's vectors of training images as a small gallery."""
    rows = np.flatnonzero(~sample.is_query)
    if len(rows) < LEAST_GALLERY:
        raise InvalidInput(
            f"the network has its teacher's vectors of {len(rows)} training images, too few for a gallery",
            hint="give --gallery with the teacher's vectors",
        )
    labels = None
    if labelled:
        of_names = dict(zip(data.train.relative_names, data.train.labels.tolist(), strict=True))
        labels = np.array([of_names.get(sample.names[row], -2) for row in rows], np.int64)  # no query has the label -2
    return Gallery.in_memory(sample.embeddings[rows], labels=labels, made_by="teacher")
