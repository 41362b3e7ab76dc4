"""The teacher's vectors of a few images, from a file or from a model."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._text import shown
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.evaluating import SomeImages
from prunnet_export.network_config import TeacherKind
from prunnet_export.teachers import Teacher, teacher_vectors
from prunnet_export.training import MatchOptions, Recipe, open_model, vector_file
from prunnet_export.vectors import StoredVectors, identity_of, open_vectors

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int, str], None]
_TIMED = 32  # images


@dataclass(frozen=True)
class Speed:
    """How fast a teacher embeds.

    Attributes:
        per_second: Images in a second, decoding included.
        n: Number of images that were timed.
    """

    per_second: float
    n: int


class VectorSource(ABC):
    """Where the teacher's vectors come from.

    Attributes:
        name: Name of the teacher's file or architecture, without folders.
        kind: The kind of teacher.
        sha256: SHA-256 of the file of vectors and of names beside it, or of the model and its preprocessing.
        size: Height and width of the image that the teacher sees, pixels; None if it is not known.
    """

    name: str
    kind: TeacherKind
    sha256: str
    size: tuple[int, int] | None

    @abstractmethod
    def known(self, split: ImageSplit) -> npt.NDArray[np.bool_]:
        """The images of a split that there are vectors of, bool [n]."""

    @abstractmethod
    def take(self, split: ImageSplit, rows: Labels) -> Vectors:
        """The vectors float32 [k, d] of some known images, as the teacher gave them.

        Raises:
            InvalidInput: an image cannot be read, or a vector is zero or not finite.
        """

    @abstractmethod
    def speed(self, split: ImageSplit) -> Speed | None:
        """How fast the vectors of a split are computed; None if they exist already."""


class FileSource(VectorSource):
    """Vectors in a file.

    Args:
        stored: The vectors; they have names.
    """

    def __init__(self, stored: StoredVectors) -> None:
        if stored.names is None:
            raise InvalidInput(
                f"{stored.file} does not say which image a vector belongs to",
                hint="add names: paths relative to the images",
            )
        if not isinstance(stored.file, Path):
            raise TypeError(f"{stored.file} is no file")
        self._stored, self._names = stored, stored.names
        self.name, self.kind, self.size = shown(stored.file.absolute().name), "vectors", None
        self.sha256 = identity_of(stored)

    def known(self, split: ImageSplit) -> npt.NDArray[np.bool_]:
        """See :class:`VectorSource`."""
        return self._names.find(split.relative_names) >= 0

    def take(self, split: ImageSplit, rows: Labels) -> Vectors:
        """See :class:`VectorSource`."""
        position = self._names.find(SomeImages((split, rows)).relative_names)
        order = np.argsort(position)
        vectors = self._stored.take(position[order])  # in the order of the file, which is read once
        self._stored.check_rows(vectors, 0)
        found = np.empty_like(vectors)
        found[order] = vectors
        return found

    def speed(self, split: ImageSplit) -> None:  # noqa: ARG002  # the vectors exist
        """See :class:`VectorSource`."""
        return


class ModelSource(VectorSource):
    """Vectors that a model computes. They are kept in the user's cache.

    Args:
        teacher: The model.
        workers: Number of processes that embed; with 0 this one does.
        progress: Called with the finished images, all images and a text.
    """

    def __init__(self, teacher: Teacher, *, workers: int, progress: Progress) -> None:
        self._teacher, self._workers, self._progress = teacher, workers, progress
        self.name, self.kind, self.sha256 = teacher.name, teacher.kind, teacher.identity
        self.size = teacher.preprocessing.size

    def known(self, split: ImageSplit) -> npt.NDArray[np.bool_]:
        """See :class:`VectorSource`."""
        return np.ones(len(split), np.bool_)

    def take(self, split: ImageSplit, rows: Labels) -> Vectors:
        """See :class:`VectorSource`."""
        chosen = SomeImages((split, rows))
        cache = teacher_vectors(
            self._teacher, chosen, flip=False, workers=self._workers, batch_size=32, progress=self._progress
        )
        with closing(cache):
            return cache.take(0, np.arange(len(chosen)))

    def speed(self, split: ImageSplit) -> Speed:
        """See :class:`VectorSource`. This process embeds a few images, all of them at once."""
        images = [split.image(index % len(split)) for index in range(2)]
        self._teacher.embed(images)  # the first run of an engine is slow
        started = time.perf_counter()
        self._teacher.embed([split.image(index % len(split)) for index in range(_TIMED)])
        return Speed(_TIMED / (time.perf_counter() - started), _TIMED)


def open_source(
    options: MatchOptions, recipe: Recipe, *, weights: Path | None, workers: int, progress: Progress
) -> VectorSource:
    """The source that the options of a teacher name.

    Raises:
        InvalidInput: the teacher cannot be read, or an option does not fit to it.
    """
    file = vector_file(options)
    if file is not None:
        return FileSource(open_vectors(file, names=options.teacher_names))
    return ModelSource(open_model(options, recipe, weights), workers=workers, progress=progress)
