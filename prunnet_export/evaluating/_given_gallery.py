"""Opening a gallery, and refusing one that is not the teacher's or not what it says."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._text import shown
from prunnet_export.artifact import GalleryEntry
from prunnet_export.evaluating._gallery import KEPT_WHOLE, Gallery
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._trust import check_is_teachers, check_metric
from prunnet_export.galleries import DatabaseRows, open_database
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.network_config import NetworkConfig
from prunnet_export.teachers import TeacherSample
from prunnet_export.vectors import Metric, StoredVectors, lengths, open_vectors, sha256_of

_LOG = logging.getLogger(__name__)


def open_gallery(
    place: Path | GalleryAddress, config: NetworkConfig, sample: TeacherSample | None, *, metric: Metric | None = None
) -> Gallery:
    """Open a gallery of a network's teacher.

    Args:
        place: A file or a folder of files, see :func:`prunnet_export.vectors.open_vectors`, of which no code is
            executed; or the address of a database.
        config: The network.
        sample: Vectors of the network's teacher; None if the teacher is its own dense network.
        metric: The metric of the service; None takes the one that the file states, else the cosine.

    Raises:
        InvalidInput: it is damaged, or it contradicts the network, the teacher's vectors or the metric.
        MissingExtra: a package is needed to read it, and is not installed.
        Unreachable: the database does not answer.
    """
    vectors = open_database(place) if isinstance(place, GalleryAddress) else open_vectors(place)
    some = _looked_at(vectors)
    common = None
    if sample is None:
        _check_length(vectors, config)
    else:
        common = check_is_teachers(vectors, some, sample)
    _check_maker(vectors, config)
    compared_by: Metric = metric or vectors.metric or "cosine"
    of_gallery = lengths([(0, some)])
    check_metric(vectors, compared_by, of_gallery, sample, common)
    scale = 1.0
    if sample is not None and compared_by == "l2" and not of_gallery.are_unit:
        scale = lengths([(0, sample.embeddings)]).mean
    entry = GalleryEntry(
        made_by="dense network" if sample is None else "teacher",
        file=shown(place.title if isinstance(place, GalleryAddress) else place.name),
        sha256=None if isinstance(place, GalleryAddress) else sha256_of(place),
        engine=vectors.source.engine if isinstance(vectors.source, DatabaseRows) else None,
        count=vectors.count,
        dim=vectors.dim,
        stored=vectors.stored,
        metric=compared_by,
        unit=of_gallery.are_unit,
        query_scale=scale,
    )
    return Gallery(vectors, entry, vectors.labels, vectors.names)


def _check_maker(vectors: StoredVectors, config: NetworkConfig) -> None:
    """Check the network that a file names. A foreign teacher is known by its vectors and not by such a name."""
    made_by, own = vectors.network, config.weights_sha256
    if config.teacher is not None:
        if made_by == own:
            raise InvalidInput(
                f"{vectors.file} was made by this network, not by its teacher", hint="give the gallery of the teacher"
            )
    elif made_by is None:
        _LOG.warning("%s does not name its network; the tool cannot notice a wrong gallery", vectors.file)
    elif made_by != own:
        raise InvalidInput(
            f"{vectors.file} was made by network {made_by[:12]}, not {own[:12]}",
            hint="embed the gallery with this dense network",
        )


def _check_length(vectors: StoredVectors, config: NetworkConfig) -> None:
    if vectors.dim != config.embedding_dim:
        raise InvalidInput(
            f"{vectors.file}: its vectors have the length {vectors.dim}, the network's have {config.embedding_dim}",
            hint="the gallery is of another network",
        )


def _looked_at(vectors: StoredVectors) -> Embeddings:
    """Vectors from all over the file, float32 [k, d]. Of a large file, the search checks the others."""
    if vectors.count <= KEPT_WHOLE:
        rows = vectors.rows(0, vectors.count)
        vectors.check_rows(rows, 0)
        return rows
    return vectors.take(np.sort(np.random.default_rng(0).choice(vectors.count, KEPT_WHOLE, replace=False)))
