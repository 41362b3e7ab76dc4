"""The built-in data set: characters rendered with matplotlib's fonts, so that nothing must be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFont

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import BuiltInDataset, ImageSplit, RetrievalData
from prunnet_export.training.data._glyph_classes import FACES, GlyphClass, find_classes, font_files
from prunnet_export.training.data._glyph_rendering import FONT_SIZE, SIDE, render

TEST_SHARE = 5  # every fifth class is a test class
TRAIN_INSTANCES = 24
QUERY_INSTANCES = 2
GALLERY_INSTANCES = 6
_TRAIN, _TEST = 0, 1  # the seed of every picture includes one of these


class GlyphSplit(ImageSplit):
    """Pictures of characters. A picture is rendered at the first access and then kept in memory.

    A picture depends only on the seed, the part, its character and its instance, not on the order of access. The kept
    pictures take 12 KiB each and are not sent to other processes.

    Args:
        classes: The characters; their indices are the labels.
        instances: Numbers of the instances of each character.
        files: The font file of each face.
        seed: Seed of the data set.
        part: 0 for train, 1 for test.
    """

    def __init__(
        self, classes: Sequence[GlyphClass], instances: range, files: Sequence[str], *, seed: int, part: int
    ) -> None:
        self._classes, self._instances, self._files = tuple(classes), instances, tuple(files)
        self._seed, self._part = seed, part
        self.labels = np.repeat(np.arange(len(classes), dtype=np.int64), len(instances))
        self.names = [f"U+{one.code_point:04X}#{instance}" for one in classes for instance in instances]
        self._clear()

    def _clear(self) -> None:
        # np.empty uses no memory before a picture is written.
        self._pictures = np.empty((len(self.labels), SIDE, SIDE, 3), np.uint8)
        self._rendered = np.zeros(len(self.labels), np.bool_)
        self._fonts: dict[int, ImageFont.FreeTypeFont] = {}

    def image(self, index: int) -> Image.Image:
        """Picture ``index``, RGB, 64 x 64."""
        index = range(len(self.labels))[index]
        if not self._rendered[index]:
            self._pictures[index] = self._render(index)
            self._rendered[index] = True
        return Image.fromarray(self._pictures[index])

    def _render(self, index: int) -> npt.NDArray[np.uint8]:
        label, position = divmod(index, len(self._instances))
        glyph, instance = self._classes[label], self._instances[position]
        identity = (self._seed, self._part, glyph.code_point)
        # All instances of a character use one order of the faces, so a test query and its gallery have no common face.
        order = np.random.default_rng(identity).permutation(len(glyph.faces))
        face = glyph.faces[order[instance % len(order)]]
        if face not in self._fonts:
            # The basic layout is the same whether libraqm is installed or not.
            self._fonts[face] = ImageFont.truetype(self._files[face], FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
        return render(self._fonts[face], chr(glyph.code_point), np.random.default_rng((*identity, instance)))

    def __getstate__(self) -> dict[str, Any]:
        drop = {"_pictures", "_rendered", "_fonts"}
        return {name: value for name, value in self.__dict__.items() if name not in drop}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clear()


class Glyphs(BuiltInDataset):
    """A class is a character, an instance a face with a distortion. Train and test have no common character."""

    name = "glyphs"

    def load(self, seed: int = 0) -> RetrievalData:
        """The data set. The seed, at least 0, changes the pictures but not the characters.

        Raises:
            MissingExtra: matplotlib is not installed.
            InvalidInput: the seed is negative, or a font is missing.
        """
        if seed < 0:
            raise InvalidInput(f"seed {seed} is negative", hint="give 0 or more")
        files = font_files()
        classes = find_classes(files)
        # Every fifth character, so that both parts have characters of every script.
        test = classes[TEST_SHARE - 1 :: TEST_SHARE]
        train = [one for position, one in enumerate(classes) if position % TEST_SHARE != TEST_SHARE - 1]
        queries, gallery = range(QUERY_INSTANCES), range(QUERY_INSTANCES, QUERY_INSTANCES + GALLERY_INSTANCES)
        return RetrievalData(
            name=f"glyphs ({len(classes)} characters in {len(FACES)} faces, seed {seed})",
            train=GlyphSplit(train, range(TRAIN_INSTANCES), files, seed=seed, part=_TRAIN),
            query=GlyphSplit(test, queries, files, seed=seed, part=_TEST),
            gallery=GlyphSplit(test, gallery, files, seed=seed, part=_TEST),
            flip=False,
        )


FORMAT = Glyphs()
