"""What answers a query, and what is taken out of its ranking."""

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
    """Of each pair of a query and a gallery image: relevant, junk, or neither.

    Junk is removed from the query's ranking before ranks are counted, as if the gallery did not have it. No pair
    is both.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """How many queries and how many gallery images there are."""

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def rows(self, start: int, stop: int) -> tuple[Mask, Mask]:
        """What is relevant to the queries start..stop-1 and what is junk, two bool arrays [stop - start, m]."""

    @abstractmethod
    def counts(self) -> Indices:
        """How many gallery images are relevant to each query, int64 [n]."""

    @abstractmethod
    def restricted(self, queries: Indices, gallery: Indices) -> Relevance:
        """The relevance of some queries to some gallery images, by their indices, each at most once."""

    @abstractmethod
    def arrays(self) -> dict[str, Indices]:
        """What :func:`relevance_from_arrays` makes it from again."""


@dataclass(frozen=True, eq=False)
class ByLabel(Relevance):
    """Images of one label answer each other, except the query's own image and those of the query's camera.

    Args:
        query_labels: Integers [n].
        gallery_labels: Integers [m].
        query_cameras: Integers [n]: what has the label of a query and its camera too is junk, as in
            re-identification. None where cameras are not known.
        gallery_cameras: Integers [m], with ``query_cameras``.
        own: Integers [n]: the gallery row that is the query's own image, which is junk; -1 where it is not there.

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
            raise InvalidInput("cameras of one side alone", hint="give the cameras of the queries and of the gallery")
        query, gallery = _size(self.query_labels), _size(self.gallery_labels)
        for field in fields(self):
            array, count = getattr(self, field.name), gallery if field.name.startswith("gallery") else query
            if array is not None and (array.shape != (count,) or array.dtype.kind not in "iu"):
                raise InvalidInput(
                    f"{field.name} is a {array.dtype} array of shape {array.shape}", hint=f"give {count} integers"
                )
        if self.own is not None and self.own.size and not -1 <= self.own.min() <= self.own.max() < gallery:
            raise InvalidInput(f"own goes beyond the gallery's {gallery} rows", hint="-1 where there is none")

    @property
    def shape(self) -> tuple[int, int]:
        """The lengths of the labels."""
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
        """Images of the label, less those of the camera, less the own image where it is neither."""
        found = _occurrences(self.query_labels[:, None], self.gallery_labels[:, None])
        removed = np.zeros(len(self), np.bool_) if self.own is None else self.own >= 0
        if self.own is not None:
            removed &= self.gallery_labels[self.own] == self.query_labels
        if self.query_cameras is not None and self.gallery_cameras is not None:
            query = np.stack([self.query_labels, self.query_cameras], axis=1)
            gallery = np.stack([self.gallery_labels, self.gallery_cameras], axis=1)
            found -= _occurrences(query, gallery)
            if self.own is not None:
                removed &= self.gallery_cameras[self.own] != self.query_cameras
        return found - removed

    def restricted(self, queries: Indices, gallery: Indices) -> ByLabel:
        """The same labels, cameras and own images, of some rows."""
        own = None if self.own is None else _renumbered(len(self.gallery_labels), gallery)[self.own[queries]]
        return ByLabel(
            self.query_labels[queries],
            self.gallery_labels[gallery],
            None if self.query_cameras is None else self.query_cameras[queries],
            None if self.gallery_cameras is None else self.gallery_cameras[gallery],
            own,
        )

    def arrays(self) -> dict[str, Indices]:
        """Its arrays, by their names."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array.astype(np.int64) for name, array in named.items() if array is not None}


@dataclass(frozen=True, eq=False)
class Lists:
    """A list of gallery rows for each query, end to end.

    Args:
        starts: int64 [n + 1]: the list of query i is ``items[starts[i]:starts[i + 1]]``.
        items: int64 [k].
    """

    starts: Indices
    items: Indices

    @staticmethod
    def of(lists: Iterable[Sequence[int] | Indices]) -> Lists:
        """The lists, each without what it repeats."""
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
        """The lists of some queries; ``position`` has the new number of each row, -1 for one that is left out."""
        moved = [position[self.items[self.starts[query] : self.starts[query + 1]]] for query in queries]
        return Lists.of(one[one >= 0] for one in moved)

    def check(self, n_gallery: int) -> None:
        """See that the arrays belong together.

        Raises:
            InvalidInput: they do not, or a row does not exist.
        """
        starts, items = self.starts, self.items
        if any(array.ndim != 1 or array.dtype != np.int64 for array in (starts, items)) or starts.size == 0:
            raise InvalidInput("lists of rows are not int64 [n + 1] and [k]", hint="make them with Lists.of")
        if starts[0] != 0 or starts[-1] != len(items) or (np.diff(starts) < 0).any():
            raise InvalidInput("lists of rows begin and end where they must not", hint="make them with Lists.of")
        if items.size and not 0 <= items.min() <= items.max() < n_gallery:
            wrong = items[(items < 0) | (items >= n_gallery)][0]
            raise InvalidInput(f"row {wrong} is beyond the {n_gallery} gallery images", hint="rows count from 0")


@dataclass(frozen=True, eq=False)
class Listed(Relevance):
    """A list of what is relevant to each query, and a list of its junk.

    Args:
        positives: Rows that are relevant.
        junk: Rows that are junk.
        n_gallery: How many gallery images there are.

    Raises:
        InvalidInput: the lists are of different queries, a row does not exist, or is in both of a query's lists.
    """

    positives: Lists
    junk: Lists
    n_gallery: int

    def __post_init__(self) -> None:
        self.positives.check(self.n_gallery)
        self.junk.check(self.n_gallery)
        if len(self.positives) != len(self.junk):
            raise InvalidInput(
                f"positives of {len(self.positives)} queries and junk of {len(self.junk)}", hint="an empty list will do"
            )
        positives, junk = (one.queries * self.n_gallery + one.items for one in (self.positives, self.junk))
        both = np.intersect1d(positives, junk)
        if both.size:
            query, row = divmod(int(both[0]), self.n_gallery)
            raise InvalidInput(f"gallery row {row} is both relevant to query {query} and junk", hint="keep one of them")

    @property
    def shape(self) -> tuple[int, int]:
        """As many queries as there are lists."""
        return len(self.positives), self.n_gallery

    def rows(self, start: int, stop: int) -> tuple[Mask, Mask]:
        """Relevant and junk, two bool arrays [stop - start, n_gallery]."""
        return self.positives.mask(start, stop, self.n_gallery), self.junk.mask(start, stop, self.n_gallery)

    def counts(self) -> Indices:
        """The lengths of the lists of positives."""
        return np.diff(self.positives.starts)

    def restricted(self, queries: Indices, gallery: Indices) -> Listed:
        """The lists of some queries, with the rows renumbered."""
        position = _renumbered(self.n_gallery, gallery)
        return Listed(
            self.positives.restricted(queries, position), self.junk.restricted(queries, position), len(gallery)
        )

    def arrays(self) -> dict[str, Indices]:
        """Both lists."""
        return {
            "positive_starts": self.positives.starts,
            "positives": self.positives.items,
            "junk_starts": self.junk.starts,
            "junk": self.junk.items,
        }


def relevance_from_arrays(arrays: Mapping[str, npt.NDArray[Any]], *, n_gallery: int) -> Relevance | None:
    """The relevance in :meth:`Relevance.arrays`; None where there is none. Other arrays are not looked at.

    Raises:
        InvalidInput: the arrays do not belong together.
        KeyError: one is missing.
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
    """The place of each row among the chosen ones, -1 for one that is not chosen; one more at the end, for row -1."""
    position = np.full(count + 1, -1, np.int64)
    position[chosen] = np.arange(len(chosen))
    return position


def _occurrences(needles: Indices, haystack: Indices) -> Indices:
    """How often each row of needles [n, d] is a row of the haystack [m, d]."""
    numbers = np.unique(np.concatenate([needles, haystack]), axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(numbers[len(needles) :], minlength=int(numbers.max(initial=0)) + 1)
    return counts[numbers[: len(needles)]].astype(np.int64)
