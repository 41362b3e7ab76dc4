"""What contradicts a gallery file: the teacher's vectors of the same images, of other images, and their lengths."""

from __future__ import annotations

import logging

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.teachers import TeacherSample
from prunnet_export.vectors import (
    Lengths,
    Metric,
    StoredVectors,
    first_dimensions,
    length_fault,
    lengths,
    metric_fault,
    same_distribution,
    same_vectors,
)

_LOG = logging.getLogger(__name__)
_COMPARED = 2000  # vectors of each side


def check_is_teachers(
    vectors: StoredVectors, some: Embeddings, sample: TeacherSample
) -> tuple[Embeddings, Embeddings] | None:
    """Check that a gallery is of a teacher.

    If the gallery and the sample have images in common, their vectors have to agree. If they have none, the vectors of
    both have to have about the same mean and to vary in about the same directions.

    Args:
        vectors: The gallery.
        some: float32 [k, p], vectors from all over the gallery.
        sample: The teacher's vectors of some images.

    Returns:
        The vectors of the images in common, float32 [k, p]: the teacher's first p numbers as the sample has them, and
        the gallery's; None if there are none.

    Raises:
        InvalidInput: the vectors are not the teacher's; the message says why.
    """
    rows = np.full(len(sample.names), -1, np.int64) if vectors.names is None else vectors.names.find(sample.names)
    common = np.flatnonzero(rows >= 0)[:_COMPARED]
    if vectors.dim > sample.dim or (vectors.dim < sample.dim and not len(common)):
        shorter = "; names would show whether it holds their first numbers" if vectors.dim < sample.dim else ""
        raise InvalidInput(
            f"{vectors.file}: its vectors have the length {vectors.dim}, the teacher's have {sample.dim}{shorter}",
            hint="the gallery is of another model",
        )
    if not len(common):
        _check_distribution(vectors, some, sample)
        return None
    found = vectors.take(rows[common])
    for index, row in enumerate(rows[common].tolist()):
        vectors.check_rows(found[index : index + 1], row)
    expected = sample.embeddings[common]
    _check_common(vectors, first_dimensions(expected, vectors.dim), found)
    return expected[:, : vectors.dim], found


def _check_common(vectors: StoredVectors, expected: Embeddings, found: Embeddings) -> None:
    compared = same_vectors(expected, found, vectors.stored)
    if compared.same:
        return
    what = f"{vectors.file}: of {len(found)} images whose names it shares with the training"
    if not compared.reason:
        _LOG.warning("%s, %d have other vectors (worst cosine %.4f)", what, len(compared.differing), compared.worst)
        return
    raise InvalidInput(
        f"{what}, {len(compared.others)} have other vectors than the teacher gave (worst cosine {compared.worst:.3f}):"
        f" {compared.reason}",
        hint="give the gallery of the teacher that the network was trained to match, as the service has it",
    )


def _check_distribution(vectors: StoredVectors, some: Embeddings, sample: TeacherSample) -> None:
    ours, theirs = sample.embeddings[:_COMPARED], some[:: max(1, len(some) // _COMPARED)]
    if vectors.stored == "binary":
        ours = np.where(ours > 0, 1, -1).astype(np.float32)
    compared = same_distribution(ours, theirs)
    if not compared.possible:
        raise InvalidInput(
            f"{vectors.file}: no name in it is of an image of the training, and its vectors are not like the teacher's:"
            f" {compared.reason}",
            hint="give the gallery of the teacher that the network was trained to match, as the service has it",
        )
    unsure = f" ({compared.reason})" if compared.reason else ""
    _LOG.warning("%s shares no name with the training; only the distribution was compared%s", vectors.file, unsure)


def check_metric(
    vectors: StoredVectors,
    stated: Metric,
    of_gallery: Lengths,
    sample: TeacherSample | None,
    common: tuple[Embeddings, Embeddings] | None,
) -> None:
    """Check that a metric is not contradicted by the file or by lengths.

    Unit vectors are ranked alike by every metric, so they contradict none.

    Args:
        vectors: The gallery.
        stated: The metric.
        of_gallery: The lengths of vectors from all over the gallery.
        sample: The teacher's vectors; None if the teacher is a dense network, which gives unit vectors.
        common: The result of :func:`check_is_teachers`; None if nothing is in common.

    Raises:
        InvalidInput: something contradicts the metric.
    """
    if of_gallery.are_unit:
        return
    of_teacher = Lengths(1, 1.0, 1.0, 1.0) if sample is None else lengths([(0, sample.embeddings)])
    fault, hint = metric_fault(stated, vectors.metric, of_gallery, of_teacher), "give the service's --metric"
    if fault is None and common is not None and not of_teacher.are_unit:
        fault = length_fault(stated, *common, vectors.stored)
        hint = "give the vectors as the teacher gave them, or --metric cosine if the service normalises them"
    if fault is not None:
        raise InvalidInput(f"{vectors.file}: {fault}", hint=hint)
