"""A file of rows of equal length, read and written at any row without a map of the file in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import StorageError
from prunnet_export._guarantees import sync

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


class RowFile:
    """A file of ``count`` rows of ``width`` bytes. Rows that were never written are zero and take no space.

    A map of the file would count the touched pages as memory of this process, and a full disk would kill it.

    Args:
        file: The file.
        count: Number of rows.
        width: Bytes of a row.
        create: Make the file anew; else it has to exist in its full size and is only read, unless ``write`` is set.
        write: Whether rows may be written.

    Raises:
        StorageError: the file is missing or has another size.
        OSError: it cannot be made, e.g. because the folder is read-only.
    """

    def __init__(self, file: Path, *, count: int, width: int, create: bool = False, write: bool = False) -> None:
        self.count, self.width, self._file = count, width, file
        flags = (os.O_RDWR if write else os.O_RDONLY) | (os.O_CREAT | os.O_TRUNC if create else 0)
        try:
            self._handle = os.open(file, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except FileNotFoundError:
            raise self._damaged() from None
        if not stat.S_ISREG(os.fstat(self._handle).st_mode):
            self.close()
            raise self._damaged()
        if create:
            os.ftruncate(self._handle, count * width)
        elif os.fstat(self._handle).st_size != count * width:
            self.close()
            raise self._damaged()

    def read(self, rows: Rows) -> Bytes:
        """Rows as uint8 [k, width].

        Raises:
            StorageError: the file was cut off meanwhile.
            IndexError: there is no such row.
        """
        content = np.empty((len(rows), self.width), np.uint8)
        for part, first in self._runs(rows):
            self._move(os.preadv, content[part], first)
        return content

    def write(self, rows: Rows, content: Bytes) -> None:
        """Write uint8 [k, width] to rows; raises OSError if the disk is full."""
        content = np.ascontiguousarray(content)
        for part, first in self._runs(rows):
            self._move(os.pwritev, content[part], first)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        sync(self._handle, self._file.parent)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _runs(self, rows: Rows) -> Iterator[tuple[slice, int]]:
        """Parts of ``rows`` that follow one another in the file, and the first row of each."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.count:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.count}")
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, stop in pairwise([0, *breaks.tolist(), len(rows)]):
            if start < stop:
                yield slice(start, stop), int(rows[start])

    def _move(self, call: Callable[[int, Sequence[memoryview], int], int], content: Bytes, first: int) -> None:
        rest, offset = content.data.cast("B"), first * self.width
        while rest:
            moved = call(self._handle, [rest], offset)
            if not moved:
                raise self._damaged()
            rest, offset = rest[moved:], offset + moved

    def _damaged(self) -> StorageError:
        return StorageError(
            f"{self._file} is missing or has another size", hint=f"delete {self._file.parent}, then it is made again"
        )
