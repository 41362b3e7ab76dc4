"""Which gallery images are relevant to a query, and which are removed from its ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Relevance(ABC):
    """The relevance of each gallery image to each query: it is relevant, junk, or neither, but never both.

    Junk is removed from the query's ranking before ranks are counted, as if it were not in the gallery.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """The number of queries and the number of gallery images."""

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def rows(self, start: int, stop: int) -> tuple[Mask, Mask]:
        """The relevant images and the junk of the queries start..stop-1, two bool arrays [stop - start, m]."""

    @abstractmethod
    def counts(self) -> Indices:
        """The number of gallery images that are relevant to each query, int64 [n]."""

    @abstractmethod
    def most_junk(self) -> int:
        """A number that no query's number of junk images exceeds; it may be larger by one."""

    @abstractmethod
    def restricted(self, queries: Indices, gallery: Indices) -> Relevance:
        """The relevance of some gallery images to some queries. Each index may occur once."""

    @abstractmethod
    def arrays(self) -> dict[str, Indices]:
        """The arrays from which :func:`relevance_from_arrays` makes the same relevance."""


@dataclass(frozen=True, eq=False)
class ByLabel(Relevance):
    """Images with the query's label are relevant, except the query's own image and images of its camera.

    Args:
        query_labels: Integers [n].
        gallery_labels: Integers [m].
        query_cameras: Integers [n]: images with the query's label and its camera are junk, as in re-identification.
            None if cameras are not known.
        gallery_cameras: Integers [m]; None if ``query_cameras`` is None.
        own: Integers [n]: the gallery row of the query's own image, which is junk; -1 if the gallery lacks it.

    Raises:
        InvalidInput: an array has another shape or type, or a row does not exist.
    """

    query_labels: Indices
    gallery_labels: Indices
    query_cameras: Indices | None = None
    gallery_cameras: Indices | None = None
    own: Indices | None = None

    def __post_init__(self) -> None:
        if (self.query_cameras is None) != (self.gallery_cameras is None):
            raise InvalidInput("only one side has cameras", hint="give the cameras of the queries and of the gallery")
        query, gallery = _size(self.query_labels), _size(self.gallery_labels)
        for field in fields(self):
            array, count = getattr(self, field.name), gallery if field.name.startswith("gallery") else query
            if array is not None and (array.shape != (count,) or array.dtype.kind not in "iu"):
                raise InvalidInput(
                    f"{field.name} is a {array.dtype} array of shape {array.shape}", hint=f"give {count} integers"
                )
        if self.own is not None and self.own.size and not -1 <= self.own.min() <= self.own.max() < gallery:
            raise InvalidInput(f"own has a row outside the gallery's {gallery} rows", hint="-1 means none")

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of query labels and gallery labels."""
        return len(self.query_labels), len(self.gallery_labels)

    def rows(self, start: int, stop: int) -> tuple[Mask, Mask]:
        """Relevant and junk, two bool arrays [stop - start, m]."""
        same: Mask = self.query_labels[start:stop, None] == self.gallery_labels
        junk = np.zeros_like(same)
        if self.query_cameras is not None:
            junk |= same & (self.query_cameras[start:stop, None] == self.gallery_cameras)
        if self.own is not None:
            own = self.own[start:stop]
            has = np.flatnonzero(own >= 0)
            junk[has, own[has]] = True
        return same & ~junk, junk

    def counts(self) -> Indices:
        """Images with the query's label, minus those of its camera, minus its own image if it was still counted."""
        found = _occurrences(self.query_labels[:, None], self.gallery_labels[:, None])
        removed = np.zeros(len(self), np.bool_) if self.own is None else self.own >= 0
        if self.own is not None:
            removed &= self.gallery_labels[self.own] == self.query_labels
        if self.gallery_cameras is not None:
            found -= self._of_the_same_camera()
            if self.own is not None:
                removed &= self.gallery_cameras[self.own] != self.query_cameras
        return found - removed

    def most_junk(self) -> int:
        """The largest number of images of a query's label and camera, plus its own image."""
        most = 0 if self.own is None else 1
        return most + int(self._of_the_same_camera().max(initial=0))

    def _of_the_same_camera(self) -> Indices:
        """The number of gallery images with the label and the camera of each query, int64 [n]; 0 without cameras."""
        if self.query_cameras is None or self.gallery_cameras is None:
            return np.zeros(len(self), np.int64)
        query = np.stack([self.query_labels, self.query_cameras], axis=1)
        gallery = np.stack([self.gallery_labels, self.gallery_cameras], axis=1)
        return _occurrences(query, gallery)

    def restricted(self, queries: Indices, gallery: Indices) -> ByLabel:
        """The labels, cameras and own images of some rows."""
        own = None if self.own is None else _renumbered(len(self.gallery_labels), gallery)[self.own[queries]]
        return ByLabel(
            self.query_labels[queries],
            self.gallery_labels[gallery],
            None if self.query_cameras is None else self.query_cameras[queries],
            None if self.gallery_cameras is None else self.gallery_cameras[gallery],
            own,
        )

    def arrays(self) -> dict[str, Indices]:
        """The fields that are not None, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array.astype(np.int64) for name, array in named.items() if array is not None}


@dataclass(frozen=True, eq=False)
class Lists:
    """A list of gallery rows for each query, all in one array.

    Args:
        starts: int64 [n + 1]: the list of query i is ``items[starts[i]:starts[i + 1]]``.
        items: int64 [k].
    """

    starts: Indices
    items: Indices

    @staticmethod
    def of(lists: Iterable[Sequence[int] | Indices]) -> Lists:
        """Make it from lists of rows; repeated rows are kept once."""
        rows = [np.unique(np.asarray(one, np.int64)) for one in lists]
        return Lists(np.cumsum([0, *map(len, rows)], dtype=np.int64), np.concatenate([np.empty(0, np.int64), *rows]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def queries(self) -> Indices:
        """The query of each item, int64 [k]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def mask(self, start: int, stop: int, width: int) -> Mask:
        """The lists of the queries start..stop-1 as a bool array [stop - start, width]."""
        mask = np.zeros((stop - start, width), np.bool_)
        first, last = self.starts[start], self.starts[stop]
        mask[self.queries[first:last] - start, self.items[first:last]] = True
        return mask

    def restricted(self, queries: Indices, position: Indices) -> Lists:
        """The lists of some queries; ``position`` is the new number of each row, -1 for a row that is left out."""
        moved = [position[self.items[self.starts[query] : self.starts[query + 1]]] for query in queries]
        return Lists.of(one[one >= 0] for one in moved)

    def check(self, n_gallery: int) -> None:
        """Check the two arrays.

        Raises:
            InvalidInput: they do not fit together, or a row does not exist.
        """
        starts, items = self.starts, self.items
        if any(array.ndim != 1 or array.dtype != np.int64 for array in (starts, items)) or starts.size == 0:
            raise InvalidInput("lists of rows are not int64 [n + 1] and [k]", hint="make them with Lists.of")
        if starts[0] != 0 or starts[-1] != len(items) or (np.diff(starts) < 0).any():
            raise InvalidInput("starts do not ascend from 0 to the number of items", hint="make them with Lists.of")
        if items.size and not 0 <= items.min() <= items.max() < n_gallery:
            wrong = items[(items < 0) | (items >= n_gallery)][0]
            raise InvalidInput(f"row {wrong} is beyond the {n_gallery} gallery images", hint="rows count from 0")


@dataclass(frozen=True, eq=False)
class Listed(Relevance):
    """For each query, a list of relevant gallery images and a list of junk.

    Args:
        positives: Relevant rows of each query.
        junk: Junk rows of each query.
        n_gallery: Number of gallery images.

    Raises:
        InvalidInput: the numbers of lists differ, a row does not exist, or it is in both lists of a query.
    """

    positives: Lists
    junk: Lists
    n_gallery: int

    def __post_init__(self) -> None:
        self.positives.check(self.n_gallery)
        self.junk.check(self.n_gallery)
        if len(self.positives) != len(self.junk):
            raise InvalidInput(
                f"positives of {len(self.positives)} queries and junk of {len(self.junk)}", hint="give empty lists"
            )
        positives, junk = (one.queries * self.n_gallery + one.items for one in (self.positives, self.junk))
        both = np.intersect1d(positives, junk)
        if both.size:
            query, row = divmod(int(both[0]), self.n_gallery)
            raise InvalidInput(f"gallery row {row} is both relevant to query {query} and junk", hint="keep one of them")

    @property
    def shape(self) -> tuple[int, int]:
        """The number of lists and the number of gallery images."""
        return len(self.positives), self.n_gallery

    def rows(self, start: int, stop: int) -> tuple[Mask, Mask]:
        """Relevant and junk, two bool arrays [stop - start, n_gallery]."""
        return self.positives.mask(start, stop, self.n_gallery), self.junk.mask(start, stop, self.n_gallery)

    def counts(self) -> Indices:
        """The lengths of the lists of positives."""
        return np.diff(self.positives.starts)

    def most_junk(self) -> int:
        """The length of the longest list of junk."""
        return int(np.diff(self.junk.starts).max(initial=0))

    def restricted(self, queries: Indices, gallery: Indices) -> Listed:
        """The lists of some queries, with the rows renumbered."""
        position = _renumbered(self.n_gallery, gallery)
        return Listed(
            self.positives.restricted(queries, position), self.junk.restricted(queries, position), len(gallery)
        )

    def arrays(self) -> dict[str, Indices]:
        """The starts and items of both lists."""
        return {
            "positive_starts": self.positives.starts,
            "positives": self.positives.items,
            "junk_starts": self.junk.starts,
            "junk": self.junk.items,
        }


def relevance_from_arrays(arrays: Mapping[str, npt.NDArray[Any]], *, n_gallery: int) -> Relevance | None:
    """The relevance that :meth:`Relevance.arrays` stored; None if there is none. Other arrays are ignored.

    Raises:
        InvalidInput: the arrays do not fit together.
        KeyError: an array is missing.
    """
    if "positive_starts" in arrays:
        positives = Lists(arrays["positive_starts"], arrays["positives"])
        return Listed(positives, Lists(arrays["junk_starts"], arrays["junk"]), n_gallery)
    if "query_labels" not in arrays or "gallery_labels" not in arrays:
        return None
    return ByLabel(**{field.name: arrays[field.name] for field in fields(ByLabel) if field.name in arrays})


def _size(array: Indices) -> int:
    return array.shape[0] if array.ndim else 0


def _renumbered(count: int, chosen: Indices) -> Indices:
    """The new number of each row, -1 for a row that is not chosen. The last entry is for row -1."""
    position = np.full(count + 1, -1, np.int64)
    position[chosen] = np.arange(len(chosen))
    return position


def _occurrences(needles: Indices, haystack: Indices) -> Indices:
    """How often each row of needles [n, d] is a row of the haystack [m, d]."""
    numbers = np.unique(np.concatenate([needles, haystack]), axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(numbers[len(needles) :], minlength=int(numbers.max(initial=0)) + 1)
    return counts[numbers[: len(needles)]].astype(np.int64)
