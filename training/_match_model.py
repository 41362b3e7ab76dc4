"""Vectors of a teacher that is a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.teachers import Teacher, teacher_vectors
from prunnet_export.training._match import Match, Vectors, check_length, match


def match_model(
    teacher: Teacher,
    split: ImageSplit,
    *,
    views: int,
    seed: int,
    flip: bool,
    workers: int,
    progress: Callable[[int, int, str], None],
) -> Match:
    """What a run learns from a model. It embeds the images once; the vectors are kept in the user's cache.

    Args:
        teacher: The model.
        split: The training images.
        views: Number of versions of each image, the plain one and augmented ones. With 0 the vectors are those of the
            plain images, and training augments these a little.
        seed: Seed of the versions.
        flip: Whether versions may be mirrored.
        workers: Number of processes that embed; with 0 this one does.
        progress: Called with the finished images, all images and a text.

    Raises:
        InvalidInput: an image cannot be read, or a vector is zero or not finite; see also :func:`match`.
        StorageError: there is no room for the vectors.
        Unreachable: a process ended.
    """
    check_length(teacher.name, teacher.dim)  # before it embeds
    cache = teacher_vectors(
        teacher,
        split,
        views=max(1, views),
        seed=seed,
        flip=flip,
        workers=workers,
        progress=progress,
    )

    def take(rows: Labels, chosen: Labels) -> Vectors:
        found = np.empty((len(rows), cache.dim), np.float32)
        for view in np.unique(chosen):
            found[chosen == view] = cache.take(int(view), rows[chosen == view])
        return found

    known = np.ones(len(split), np.bool_)
    return match(take, known, split, name=teacher.name, kind=teacher.kind, sha256=teacher.identity, views=views)
