"""The images of a training with a teacher: those that it held out are the queries of a verification."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, RetrievalData
from prunnet_export.evaluating._images import Embeddings, SomeImages
from prunnet_export.network_config import LEAST_STATISTICS_IMAGES
from prunnet_export.teachers import LEAST_HELD_OUT, TeacherSample

_LOG = logging.getLogger(__name__)
_LEAST_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The queries of a verification.

    Attributes:
        images: n images. Their labels are those of the split in which each was found.
        names: n names, relative to the data set.
        embeddings: float32 [n, d], the teacher's vectors.
    """

    images: ImageSplit
    names: tuple[str, ...]
    embeddings: Embeddings


def held_out_images(data: RetrievalData, sample: TeacherSample, *, most: int, seed: int = 0) -> HeldOut:
    """Find the images of the teacher's queries in a data set, by their names.

    Args:
        data: The data set; its train split and its query split are searched.
        sample: The teacher's vectors of queries and of training images.
        most: Take at most so many; if there are more, they are drawn at random.
        seed: Seed of the draw.

    Raises:
        InvalidInput: fewer than half of the images, or fewer than 20, are there; or an image has changed.
    """
    rows = np.flatnonzero(sample.is_query).tolist()
    splits = (data.train, data.query)
    places = _places(splits, {sample.names[row] for row in rows})
    found = [row for row in rows if sample.names[row] in places]
    if len(found) < max(LEAST_HELD_OUT, _LEAST_SHARE * len(rows)):
        raise InvalidInput(
            f"{data.name} has {len(found)} of the {len(rows)} images that the training held out; {LEAST_HELD_OUT} of"
            " them and half of them are needed",
            hint="give --data with the images of the training",
        )
    if len(found) < len(rows):
        first = next(sample.names[row] for row in rows if sample.names[row] not in places)
        absent = f"{len(rows) - len(found)} of {len(rows)} held-out images are not in {data.name}"
        _LOG.warning("%s and are left out: %s", absent, first)
    if len(found) > most:
        found = np.random.default_rng(seed).choice(found, most, replace=False).tolist()
    found.sort(key=lambda row: places[sample.names[row]])
    chosen = [places[sample.names[row]] for row in found]
    images = SomeImages(
        *(
            (split, np.array([index for number, index in chosen if number == this], np.int64))
            for this, split in enumerate(splits)
        )
    )
    _check_unchanged(images, [sample.image_sha256[row] for row in found])
    return HeldOut(images, tuple(sample.names[row] for row in found), sample.embeddings[found])


def without_queries(train: ImageSplit, sample: TeacherSample) -> ImageSplit:
    """The images of a train split that the training did not hold out."""
    queries = sample.names_of(queries=True)
    seen = [index for index, name in enumerate(train.relative_names) if name not in queries]
    return SomeImages((train, np.array(seen, np.int64)))


def without_changed(train: ImageSplit, sample: TeacherSample) -> TeacherSample | None:
    """The sample without training images that changed since the training; a warning counts them.

    Args:
        train: Images; all training images of the sample are among them.
        sample: The teacher's vectors of training images, and of queries, which are not looked at.

    Returns:
        The sample; None if fewer than half of its training images, or fewer than two, are as they were.
    """
    rows = np.flatnonzero(~sample.is_query)
    index_of = {name: index for index, name in enumerate(train.relative_names)}
    images = SomeImages((train, np.array([index_of[sample.names[row]] for row in rows.tolist()], np.int64)))
    changed = _changed(images, [sample.image_sha256[row] for row in rows.tolist()])
    if not changed:
        return sample
    enough = len(rows) - len(changed) >= max(LEAST_STATISTICS_IMAGES, _LEAST_SHARE * len(rows))
    _LOG.warning(
        "%d of %d training images changed since the training, %s among them; projectors are refitted %s",
        len(changed),
        len(rows),
        images.names[changed[0]],
        "without them" if enough else "to the dense network instead of the teacher's vectors",
    )
    return sample.part(np.delete(np.arange(len(sample.names)), rows[changed])) if enough else None


def _places(splits: Sequence[ImageSplit], wanted: set[str]) -> dict[str, tuple[int, int]]:
    """The number of the first split that has a wanted name, and its index there."""
    places: dict[str, tuple[int, int]] = {}
    for number, split in enumerate(splits):
        for index, name in enumerate(split.relative_names):
            if name in wanted:
                places.setdefault(name, (number, index))
    return places


def _changed(images: ImageSplit, expected: Sequence[str]) -> list[int]:
    """The indices of images that are not those of the expected SHA-256 sums."""
    return [
        index for index, digest in enumerate(expected) if hashlib.sha256(images.encoded(index)).hexdigest() != digest
    ]


def _check_unchanged(images: ImageSplit, expected: Sequence[str]) -> None:
    changed = _changed(images, expected)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InvalidInput(
            f"{images.names[changed[0]]}{more} changed since the training",
            hint="restore the images, or train again on the new ones",
        )
