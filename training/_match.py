"""What a run learns from a teacher: its vectors of the images, and the images that are held out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.network import statistics_batches
from prunnet_export.network_config import LEAST_DIMENSIONS, MOST_DIMENSIONS, TeacherEntry, TeacherKind
from prunnet_export.teachers import LEAST_HELD_OUT, TeacherSample
from prunnet_export.training._batches import Targets
from prunnet_export.training._held_out import IMAGES_PER_HELD_OUT, held_out
from prunnet_export.vectors import Names, unit_vectors

_LOG = logging.getLogger(__name__)
_CHUNK = 4096  # vectors in memory at once
_LEAST = 2  # queries, because a spread needs two
_NAMED = 3  # images that a message names
Vectors = npt.NDArray[np.float32]
# A function of rows of the split [k] and of their views [k]. It returns the teacher's vectors [k, d] as they are.
Take = Callable[[Labels, Labels], Vectors]


@dataclass(frozen=True, eq=False)
class Match:
    """What a run learns from a teacher.

    Attributes:
        targets: The teacher's vectors of the images to learn from.
        sample: The vectors that travel with the network.
        name: Name of the teacher's file or architecture, without folders.
        kind: See :class:`TeacherEntry`.
        sha256: SHA-256 of the file of vectors and of names beside it, or of the model and its preprocessing.
        mean: Mean of the unit vectors of the images to learn from, float32 [d].
        std: Their standard deviation in each dimension, float32 [d].
    """

    targets: Targets
    sample: TeacherSample
    name: str
    kind: TeacherKind
    sha256: str
    mean: Vectors
    std: Vectors

    def entry(self, sample_sha256: str) -> TeacherEntry:
        """The teacher's entry in the network's configuration."""
        return TeacherEntry(name=self.name, kind=self.kind, sha256=self.sha256, sample_sha256=sample_sha256)


class UnitTargets(Targets):
    """The unit vectors of ``take``."""

    def __init__(self, take: Take, rows: Labels, *, views: int, dim: int) -> None:
        self._take, self.rows, self.views, self.dim = take, rows, views, dim

    def take(self, rows: Labels, views: Labels) -> Vectors:
        """See :class:`Targets`."""
        return unit_vectors(self._take(rows, views))


def match(
    take: Take,
    known: npt.NDArray[np.bool_],
    split: ImageSplit,
    *,
    name: str,
    kind: TeacherKind,
    sha256: str,
    views: int = 0,
) -> Match:
    """Hold images out, and collect what a run needs.

    Args:
        take: The teacher's vectors, finite and not zero, of the images that are ``known``.
        known: bool [n], the images of the split that the teacher's vectors are known of.
        split: The training images.
        name: Name of the teacher.
        kind: Kind of the teacher.
        sha256: Identity of the teacher.
        views: See :class:`Targets`.

    Raises:
        InvalidInput: there are too few images; an image of the sample cannot be read; or the vectors are too short, too
            long, or all the same.
    """
    names = split.relative_names
    rows = np.flatnonzero(known)
    out = held_out([names[int(row)] for row in rows])
    queries, rows = rows[out], rows[~out]
    if len(queries) < _LEAST:
        raise InvalidInput(
            f"the teacher's vectors are known of {int(known.sum())} images", hint="eight or more are needed"
        )
    if len(queries) < LEAST_HELD_OUT:
        _LOG.warning(
            "%d images with vectors are too few to verify an export: it needs %d held-out images, so %d images",
            int(known.sum()),
            LEAST_HELD_OUT,
            LEAST_HELD_OUT * IMAGES_PER_HELD_OUT,
        )
    _LOG.info("%d of %d images are held out of the training, to verify with them", len(queries), int(known.sum()))
    statistics = rows[np.sort(np.concatenate([*statistics_batches(len(rows)), np.empty(0, np.intp)]))]
    chosen = np.concatenate([queries, statistics])
    vectors = take(chosen, np.zeros(len(chosen), np.int64))
    sample = TeacherSample(
        names=tuple(names[int(row)] for row in chosen),
        embeddings=vectors,
        is_query=np.arange(len(chosen)) < len(queries),
        image_sha256=tuple(hashlib.sha256(split.encoded(int(row))).hexdigest() for row in chosen),
    )
    targets = UnitTargets(take, rows, views=views, dim=vectors.shape[1])
    check_length(name, targets.dim)
    mean, std = _moments(targets)
    # It is the mean of 1 - cos of two images. A search in float32 cannot tell them apart below this.
    if np.square(std, dtype=np.float64).sum() <= np.finfo(np.float32).eps:
        raise InvalidInput(
            f"the vectors of {name} are the same for all images, apart from rounding",
            hint="check the teacher and its preprocessing, and how the vectors were saved",
        )
    return Match(targets, sample, name, kind, sha256, mean, std)


def check_length(name: str, dim: int) -> None:
    """Refuse vectors of a length that an embedding cannot have.

    Raises:
        InvalidInput: they are too short or too long.
    """
    if dim < LEAST_DIMENSIONS:
        raise InvalidInput(
            f"the vectors of {name} have {dim} dimension",
            hint="vectors are compared by their direction, and one number has none; give a teacher with more",
        )
    if dim > MOST_DIMENSIONS:
        raise InvalidInput(
            f"the vectors of {name} have {dim} dimensions",
            hint=f"an embedding has at most {MOST_DIMENSIONS}; give a teacher with fewer",
        )


def join(names: Sequence[str], known: Names, *, file: str) -> Labels:
    """The row of each image in a file of vectors, int64 [n]; -1 if the file lacks it.

    Args:
        names: Names of the images.
        known: Names of the vectors.
        file: The file, for messages.

    Raises:
        InvalidInput: the file has a vector of no image, or one vector for two images.
    """
    rows = known.find(names)
    _refuse_shared(names, rows, file)
    missing = np.flatnonzero(rows < 0)
    if len(missing) == len(rows):
        raise InvalidInput(
            f"{file} has a vector of none of the {len(names)} images: its names are like {known[0]!r}, those of the"
            f" images like {names[0]!r}",
            hint="names have to be paths relative to the folder of the images",
        )
    if len(missing):
        few = ", ".join(names[int(row)] for row in missing[:_NAMED])
        more = ", ..." if len(missing) > _NAMED else ""
        _LOG.warning(
            "%d of %d images have no vector in %s and are left out: %s%s", len(missing), len(rows), file, few, more
        )
    return rows


def _refuse_shared(names: Sequence[str], rows: Labels, file: str) -> None:
    """Refuse two images with one vector. Their names differ in the Unicode form of their accents."""
    found, counts = np.unique(rows[rows >= 0], return_counts=True)
    for row in found[counts > 1][:1]:
        first, second = (ascii(names[int(index)]) for index in np.flatnonzero(rows == row)[:2])
        raise InvalidInput(
            f"{file} has one vector for two images, {first} and {second}: their names differ only in how accents are"
            " written",
            hint="remove or rename one of the images, or give each a vector of its own",
        )


def _moments(targets: Targets) -> tuple[Vectors, Vectors]:
    """Mean and standard deviation [d] of the unit vectors of all images to learn from."""
    total, squares = np.zeros(targets.dim), np.zeros(targets.dim)
    for start in range(0, len(targets.rows), _CHUNK):
        rows = targets.rows[start : start + _CHUNK]
        unit = targets.take(rows, np.zeros(len(rows), np.int64)).astype(np.float64)
        total += unit.sum(0)
        squares += (unit**2).sum(0)
    mean = total / len(targets.rows)
    std = np.sqrt(np.maximum(squares / len(targets.rows) - mean**2, 0))
    return mean.astype(np.float32), std.astype(np.float32)
