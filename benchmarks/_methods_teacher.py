"""The teacher of a comparison whose gallery stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.methods import Settings
from prunnet_export.datasets import ImageSplit, Labels, RetrievalData
from prunnet_export.evaluating import ChosenImages, Embeddings
from prunnet_export.teachers import teacher_vectors
from prunnet_export.training import SELF, Match, MatchOptions, MatchSettings, open_match, open_model, vector_file
from prunnet_export.vectors import open_vectors

Progress = Callable[[int, int, str], None]


class GalleryTeacher:
    """A teacher's vectors of all images of a data set.

    Args:
        options: The options of the teacher.
        settings: The settings of the comparison, for the preprocessing of the students.
        data: The images.
        progress: Called with the finished images, all images and a text while a model embeds.

    Attributes:
        settings: What the settings of the comparison say about the teacher.
        dim: Length of its vectors.

    Raises:
        InvalidInput: the teacher cannot be read, or its vectors do not fit to the images.
    """

    def __init__(self, options: MatchOptions, settings: Settings, data: RetrievalData, progress: Progress) -> None:
        if options.match == SELF:
            raise InvalidInput(
                f"--match {SELF} needs weights, and these methods start at random",
                hint="give a model: an .onnx file, a folder that prunnet-train wrote, or timm:ARCHITECTURE",
            )
        if options.label_weight:
            raise InvalidInput("these methods learn without labels", hint="leave --label-weight out")
        self._options, self._comparison, self._data, self._progress = options, settings, data, progress
        self.settings, self._first = self._open(seed=0)
        self.dim = self._first.targets.dim

    def match(self, seed: int) -> Match:
        """What a run with this seed learns."""
        # Only augmented versions of the images depend on the seed.
        return self._first if seed == 0 or not self._options.views else self._open(seed=seed)[1]

    def vectors(self, images: ChosenImages) -> tuple[Embeddings, Embeddings]:
        """The teacher's vectors of the query images [n, d] and of the gallery images [m, d], as it gives them.

        Raises:
            InvalidInput: a file of vectors lacks an image, or an image cannot be read.
        """
        queries, gallery = images.indices
        of_queries = self._vectors(self._data.query, queries)
        return of_queries, of_queries if images.same_images else self._vectors(self._data.gallery, gallery)

    def _open(self, *, seed: int) -> tuple[MatchSettings, Match]:
        recipe, match = open_match(
            self._options,
            self._comparison.recipe(seed),
            self._data,
            weights=None,
            workers=0,
            progress=self._progress,
        )
        if recipe.match is None:
            raise AssertionError("the recipe names its teacher")
        return recipe.match, match

    def _vectors(self, split: ImageSplit, rows: Labels) -> Embeddings:
        if vector_file(self._options) is not None:
            names = split.relative_names
            return _stored_vectors(Path(self._options.match), self._options.teacher_names, [names[i] for i in rows])
        model = open_model(self._options, self._comparison.recipe(0), None)
        with closing(teacher_vectors(model, split, flip=self._data.flip, progress=self._progress)) as cache:
            return cache.take(0, rows)


def _stored_vectors(file: Path, names_file: Path | None, names: Sequence[str]) -> Embeddings:
    """The vectors [n, d] of named images.

    Raises:
        InvalidInput: the file lacks one of them.
    """
    stored = open_vectors(file, names=names_file)
    rows = np.full(len(names), -1) if stored.names is None else stored.names.find(names)
    missing = [name for name, row in zip(names, rows, strict=True) if row < 0]
    if missing:
        raise InvalidInput(
            f"{file.name} has no vector of {len(missing)} of {len(names)} query or gallery images, e.g. {missing[0]}",
            hint="give the model that made it, or a file that has the query and gallery images too",
        )
    return stored.take(rows)
