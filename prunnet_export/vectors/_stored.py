"""Stored vectors: a gallery in a file, of any size, read in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._text import printable
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors._forms import INT8_SCALE, Scale, Stored, as_float32, dim_of, form_of
from prunnet_export.vectors._metrics import Metric, Vectors
from prunnet_export.vectors._names import Names

_MATRIX = 2
# Squared lengths in this range are exact enough in float32, and so are scores.
_SMALLEST, _GREATEST = 1e-30, 1e30


class Rows(ABC):
    """Where the rows of stored vectors come from. Rows are float32 as :func:`as_float32` makes them."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Vectors:
        """The rows from ``start`` to before ``stop``, both inside the file."""

    @abstractmethod
    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        """Single rows, all inside the file."""

    def scan(self, count: int, size: int) -> Iterator[Vectors]:
        """All rows in parts of ``size``, in their order."""
        for start in range(0, count, size):
            yield self.read(start, min(start + size, count))


class ArrayRows(Rows):
    """The rows of an array.

    Args:
        array: [n, columns], in memory or memory-mapped.
        scale: What int8 codes are multiplied by.
    """

    def __init__(self, array: npt.NDArray[Any], scale: Scale = INT8_SCALE) -> None:
        self._array = array
        self._scale: Scale = scale

    def read(self, start: int, stop: int) -> Vectors:
        return as_float32(self._array[start:stop], self._scale)

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        return as_float32(self._array[indices], self._scale)


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """Vectors in a file or a database. Memory does not grow with their number: they are read when they are asked for.

    Attributes:
        file: The file, or the address in a database.
        count: How many vectors there are, n.
        dim: Their length, d. For binary codes it is the number of bits.
        stored: How they are stored. ``faiss`` is a compressed form of FAISS, such as product quantisation.
        source: Where the rows come from.
        names: n different names, or None.
        labels: int64 [n], an array of n texts, or None.
        metric: The metric that the file states, or None.
        network: SHA-256 of the weights of the network that made them, or None.
        names_beside: Whether the names are in another file than the vectors.
    """

    file: Path | GalleryAddress
    count: int
    dim: int
    stored: Stored
    source: Rows
    names: Names | None = None
    labels: npt.NDArray[np.int64] | npt.NDArray[np.str_] | None = None
    metric: Metric | None = None
    network: str | None = None
    names_beside: bool = False

    def rows(self, start: int, stop: int) -> Vectors:
        """The vectors from ``start`` to before ``stop``, as stored, not normalised: float32 [stop - start, d].

        Raises:
            InvalidInput: the file cannot be read any more.
        """
        start, stop, _ = slice(start, stop).indices(self.count)
        return self.source.read(start, max(start, stop))

    def take(self, indices: npt.NDArray[np.int64]) -> Vectors:
        """Single vectors: float32 [k, d] for int64 [k]. An index may be there twice.

        Raises:
            InvalidInput: the file cannot be read any more.
            IndexError: an index is negative, or there are not that many vectors.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"{self.file} has {self.count} vectors")
        return self.source.pick(indices.astype(np.int64))

    def chunks(self, size: int) -> Iterator[tuple[int, Vectors]]:
        """All vectors in their order, in parts of ``size``: the number of the first one, and float32 [size, d].

        Raises:
            InvalidInput: the file cannot be read any more.
        """
        start = 0
        for rows in self.source.scan(self.count, size):
            yield start, rows
            start += len(rows)

    def check_rows(self, rows: Vectors, start: int) -> Vectors:
        """The lengths of rows: float32 [k].

        Args:
            rows: float32 [k, d], such as a part of :meth:`chunks`.
            start: The number of the first of them.

        Raises:
            InvalidInput: a row has no direction, because it is zero, not finite, or far too large or too small. The
                message names it.
        """
        squares = np.einsum("ij,ij->i", rows, rows)
        bad = np.flatnonzero(~((squares > _SMALLEST) & (squares < _GREATEST)))
        if len(bad):
            row = rows[bad[0]]
            fault = "is zero" if not row.any() else "is too large or too small" if np.isfinite(row).all() else ""
            raise InvalidInput(
                f"{self.file}: vector {self.title(start + int(bad[0]))} {fault or 'holds NaN or infinity'}",
                hint="leave it out, or embed that image again",
            )
        lengths: Vectors = np.sqrt(squares)
        return lengths

    def title(self, row: int) -> str:
        """A row in messages: its number, and its name if it has one."""
        return str(row) if self.names is None else f"{row} ({printable(self.names[row])})"

    def named(self, names: Names | None, file: Path | None = None) -> StoredVectors:
        """These vectors with names.

        Args:
            names: The names in the order of the vectors; None changes nothing.
            file: The file of the names, if they are in another one.

        Raises:
            InvalidInput: there are more or fewer names than vectors.
        """
        if names is not None and len(names) != self.count:
            raise InvalidInput(
                f"{file or self.file} has {len(names)} names for the {self.count} vectors of {self.file}",
                hint="one name for each vector, in their order; rename the file if it is no list of names",
            )
        return self if names is None else replace(self, names=names, names_beside=file is not None)


def vectors_in_memory(array: npt.NDArray[Any], file: Path, *, scale: Scale = INT8_SCALE) -> StoredVectors:
    """An array as stored vectors.

    Args:
        array: [n, d] float16, float32, float64, int8, or uint8 of packed bits.
        file: Where it is from, for error messages.
        scale: What int8 codes are multiplied by.

    Raises:
        InvalidInput: it has another shape or dtype, or is empty.
    """
    form = form_of(array.dtype, file)
    check_shape(array.shape, file)
    return StoredVectors(file, len(array), dim_of(form, array.shape[1]), form, ArrayRows(array, scale))


def check_shape(shape: tuple[int, ...], file: Path) -> None:
    """Raise InvalidInput if an array of this shape holds no vectors."""
    if len(shape) != _MATRIX or 0 in shape:
        raise InvalidInput(f"{file}: the vectors have shape {shape}", hint="expected [vectors, dimensions], not empty")
