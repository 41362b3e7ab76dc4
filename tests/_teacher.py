"""A synthetic teacher, the images that it embeds, and a network that says it answers this teacher's gallery."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._files import replace_file, sha256
from prunnet_export.datasets import RetrievalData
from prunnet_export.network_config import CONFIG_FILE, TEACHER_FILE, TeacherEntry, read_config
from prunnet_export.teachers import TeacherSample, save_sample
from prunnet_export.training.data._arrays import ArraySplit

Vectors = npt.NDArray[np.float32]

CLASSES, PER_CLASS, SIDE, TEACHER_DIM = 40, 6, 32, 64


class NamedSplit(ArraySplit):
    """Images in memory with the names of files in class folders."""

    @property
    def relative_names(self) -> list[str]:
        counts: dict[int, int] = {}
        names = []
        for label in self.labels.tolist():
            counts[label] = counts.get(label, -1) + 1
            names.append(f"class-{label:02}/{counts[label]}.png")
        return names


def glyphs(*, classes: int = CLASSES, per_class: int = PER_CLASS, seed: int = 0) -> NamedSplit:
    """Glyphs: each class has a pattern of 8 x 8 cells and two colours, each image a shift and noise."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    cells = draw.random((classes, 8, 8)) < 0.5
    colours = draw.integers(0, 256, (classes, 2, 1)) + draw.normal(0, 35, (classes, 2, 3))  # mostly grey, as in photos
    pixels = np.empty((len(labels), SIDE, SIDE, 3), np.uint8)
    for index, label in enumerate(labels):
        pattern = np.kron(cells[label], np.ones((4, 4), np.int64))
        shifted = np.roll(pattern, draw.integers(-2, 3, 2), axis=(0, 1))
        noisy = colours[label][shifted] + draw.normal(0, 12, (SIDE, SIDE, 3))
        pixels[index] = np.clip(noisy, 0, 255).astype(np.uint8)
    return NamedSplit(pixels, labels)


@dataclass(frozen=True)
class RandomTeacher:
    """A fixed random network: an image of size x size, a hidden layer with ReLU, an embedding with ReLU.

    Its vectors share a mean and are no unit vectors, as those of most networks.
    """

    size: int = 16
    bgr: bool = False
    seed: int = 0
    dim: int = TEACHER_DIM

    def __call__(self, images: Sequence[Image.Image]) -> Vectors:
        """Embeddings float32 [n, dim]."""
        draw = np.random.default_rng(self.seed)
        hidden = draw.normal(size=(3 * 16 * 16, 256)) / 16
        last = draw.normal(size=(256, self.dim)) / 8
        # A network that pools sees an image of another size with other details, and not with other shapes.
        resized = [image.resize((self.size, self.size)).resize((16, 16)) for image in images]
        pixels = np.stack([np.asarray(image, np.float64) for image in resized]) / 255 - 0.5
        if self.bgr:
            pixels = pixels[..., ::-1]
        features = np.maximum(pixels.reshape(len(pixels), -1) @ hidden, 0)
        return np.maximum(features @ last + 0.3, 0).astype(np.float32)


def images_of(split: ArraySplit) -> list[Image.Image]:
    """All images of a split, decoded."""
    return [split.image(index) for index in range(len(split))]


def sample_of_split(split: NamedSplit, vectors: Vectors, *, every: int = 3) -> TeacherSample:
    """A sample with the vectors of all images; every third one was held out."""
    is_query = np.arange(len(split)) % every == 0
    hashes = tuple(hashlib.sha256(split.encoded(index)).hexdigest() for index in range(len(split)))
    return TeacherSample(tuple(split.relative_names), vectors, is_query, hashes)


def give_teacher(network: Path, sample: TeacherSample, *, name: str = "their-model.onnx") -> None:
    """Write into the folder of a network that it has a teacher."""
    save_sample(sample, network / TEACHER_FILE)
    entry = TeacherEntry(name=name, kind="onnx", sha256="c" * 64, sample_sha256=sha256(network / TEACHER_FILE))
    config = msgspec.structs.replace(read_config(network), teacher=entry)
    replace_file(network / CONFIG_FILE, msgspec.json.encode(config))


def in_one_tree(split: NamedSplit) -> RetrievalData:
    """A data set that has images to train on, and no queries and no gallery."""
    nothing = NamedSplit(np.zeros((0, SIDE, SIDE, 3), np.uint8), np.zeros(0, np.int64))
    return RetrievalData("glyphs in memory", split, nothing, nothing)
