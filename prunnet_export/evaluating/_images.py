"""The query and gallery images of an evaluation, and their network inputs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, RetrievalData
from prunnet_export.evaluating._metrics import RetrievalMetrics, retrieval_metrics
from prunnet_export.evaluating._sampling import choose
from prunnet_export.preprocessing import ImageLike, Preprocessing, decode, to_chw
from prunnet_export.relevance import Indices, Relevance

Embeddings = npt.NDArray[np.float32]
Embed = Callable[[Iterable[Embeddings]], Embeddings]

_CHUNK = 250  # images that are decoded and kept in memory at once


@dataclass(frozen=True)
class ChosenImages:
    """Query and gallery images of a data set.

    Attributes:
        data: The data set.
        preprocessing: How an image becomes an input.
        max_queries: Largest number of query images.
        max_gallery: Largest number of gallery images.

    Raises:
        InvalidInput: raised at the first use, if fewer than two queries have a relevant gallery image.
    """

    data: RetrievalData
    preprocessing: Preprocessing
    max_queries: int
    max_gallery: int

    @cached_property
    def indices(self) -> tuple[Indices, Indices]:
        """Rows of the query split and of the gallery split that :func:`choose` chose."""
        return choose(self.data, max_queries=self.max_queries, max_gallery=self.max_gallery)

    @property
    def same_images(self) -> bool:
        """Whether query and gallery are the same images, so that they are embedded once."""
        return self.data.exclude_self and np.array_equal(*self.indices)

    @cached_property
    def relevance(self) -> Relevance:
        """The relevance of the chosen images, by the main judgement."""
        return self.data.relevance.restricted(*self.indices)

    def self_and_cross_test(
        self, queries: Embeddings, gallery: Embeddings, dense_gallery: Embeddings, relevance: Relevance | None = None
    ) -> tuple[RetrievalMetrics, RetrievalMetrics]:
        """The metrics of the self-test and of the cross-test.

        Args:
            queries: float32 [n, d], embedded by the tested embedder.
            gallery: float32 [m, d], embedded by the tested embedder.
            dense_gallery: float32 [m, d], embedded by the dense network.
            relevance: Relevance of m gallery images to n queries; by default :attr:`relevance`.

        Raises:
            InvalidInput: for the reasons of :func:`retrieval_metrics`.
        """
        judged = self.relevance if relevance is None else relevance
        own, cross = (retrieval_metrics(queries, one, judged, self.data.protocol) for one in (gallery, dense_gallery))
        return own, cross

    def embed_queries(self, embed: Embed) -> Embeddings:
        """Embeddings float32 [n, d] of the query images."""
        return embed(inputs_of(self.data.query, self.indices[0], self.preprocessing))

    def embed_gallery(self, embed: Embed, queries: Embeddings | None = None) -> Embeddings:
        """Embeddings float32 [m, d] of the gallery images.

        Args:
            embed: The embedder.
            queries: The embedder's query embeddings; returned if query and gallery are the same images.
        """
        if queries is not None and self.same_images:
            return queries
        return embed(inputs_of(self.data.gallery, self.indices[1], self.preprocessing))


def inputs_of(split: ImageSplit, indices: Iterable[int], preprocessing: Preprocessing) -> Iterator[Embeddings]:
    """Inputs float32 [<= 250, 3, h, w] of the images at the indices, in order."""
    chosen = [int(index) for index in indices]
    for start in range(0, len(chosen), _CHUNK):
        yield preprocessing([split.image(index) for index in chosen[start : start + _CHUNK]])


def query_inputs(split: ImageSplit, steps: Preprocessing) -> Iterator[Embeddings]:
    """Inputs float32 [<= 250, 3, h, w] of all images of a split, in order, from the bytes of their files.

    A large JPEG file is decoded at a fraction of its size, as an artifact does, and as :func:`inputs_of` does not.
    """
    names = split.names
    for start in range(0, len(split), _CHUNK):
        chunk = [(split.encoded(index), names[index]) for index in range(start, min(start + _CHUNK, len(split)))]
        yield np.stack([steps.query_input(image, name=name) for image, name in chunk])


def inputs_of_files(
    images: Sequence[bytes], preprocessing: Preprocessing, *, pixels: bool = False
) -> Iterator[Embeddings]:
    """Inputs float32 [<= 250, 3, h, w] of encoded images, in order.

    Args:
        images: The contents of image files.
        preprocessing: How an image becomes an input.
        pixels: Whether the images are already resized and cropped, as :func:`encoded_pixels` writes them.

    Raises:
        InvalidInput: an image cannot be read, or its pixels do not have the size of the input.
    """
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        yield _inputs_of_pixels(chunk, preprocessing) if pixels else preprocessing(chunk)


def encoded_pixels(image: ImageLike, preprocessing: Preprocessing) -> bytes:
    """An image after decoding, resizing and cropping, as a PNG without metadata. Nothing is lost afterwards."""
    buffer = io.BytesIO()
    preprocessing.cropped(preprocessing.loaded(image, name="the image")).save(buffer, "PNG")
    return buffer.getvalue()


def _inputs_of_pixels(images: Sequence[bytes], preprocessing: Preprocessing) -> Embeddings:
    height, width = preprocessing.size
    decoded = [decode(image, name=f"query image {index}") for index, image in enumerate(images)]
    for image in decoded:
        if image.size != (width, height):
            raise InvalidInput(
                f"a query image has {image.height} x {image.width} pixels, the input has {height} x {width}",
                hint="export the artifact again",
            )
    return np.stack([to_chw(image) for image in decoded])


class SomeImages(ImageSplit):
    """Some images of one or more splits, one split after the other.

    Args:
        parts: Splits, and for each the indices of the images, int64 [k].
    """

    def __init__(self, *parts: tuple[ImageSplit, Indices]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(indices) for _, indices in parts])
        self.labels = np.concatenate([split.labels[indices] for split, indices in parts])
        self.names = [split.names[index] for split, indices in parts for index in indices.tolist()]

    @property
    def relative_names(self) -> list[str]:
        """The names that do not depend on where the data sets lie."""
        parts = ((split.relative_names, indices) for split, indices in self._parts)
        return [names[index] for names, indices in parts for index in indices.tolist()]

    def image(self, index: int) -> Image.Image:
        """Image ``index``, RGB. The errors are those of its split."""
        split, place = self._place(index)
        return split.image(place)

    def encoded(self, index: int) -> bytes:
        """Image ``index`` as its split has it."""
        split, place = self._place(index)
        return split.encoded(place)

    def stamp(self, index: int) -> str:
        """See :class:`ImageSplit`."""
        split, place = self._place(index)
        return split.stamp(place)

    def _place(self, index: int) -> tuple[ImageSplit, int]:
        part = int(np.searchsorted(self._ends, index, side="right"))
        split, indices = self._parts[part]
        return split, int(indices[index - self._ends[part]])  # negative, so counted from the end of the part
