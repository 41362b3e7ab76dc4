"""The vectors of a database as numbered rows: row i belongs to the i-th name that the database listed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._text import printable
from prunnet_export.galleries._database import GalleryDatabase
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors import Names, Rows, Vectors

_AT_ONCE = 1000  # names or queries in one request
_HINT = "check the adapter, and that nobody changes the collection meanwhile"


class DatabaseRows(Rows):
    """The rows of a collection. The database fetches them by their names, and searches them itself.

    Args:
        database: The adapter.
        names: The names in the order of the rows.
        address: Where they lie.
    """

    def __init__(self, database: GalleryDatabase, names: Names, address: GalleryAddress) -> None:
        self._database = database
        self._names = names
        self._address = address

    @property
    def engine(self) -> str:
        """The database with its version and its index."""
        return printable(self._database.engine)

    def read(self, start: int, stop: int) -> Vectors:
        return self.pick(np.arange(start, stop))

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        rows = np.empty((len(indices), self._database.dim), np.float32)
        for start in range(0, len(indices), _AT_ONCE):
            names = [self._names[row] for row in indices[start : start + _AT_ONCE].tolist()]
            found = np.asarray(self._database.fetch(names))
            if found.shape != (len(names), self._database.dim) or found.dtype.kind != "f":
                raise InvalidInput(
                    f"{self._address}: it gives {found.dtype} {found.shape} for {len(names)} names", hint=_HINT
                )
            rows[start : start + len(names)] = found
        return rows

    def nearest(self, queries: Vectors, k: int) -> npt.NDArray[np.int64]:
        """The rows that the database finds for each query, int64 [n, k].

        Where it finds fewer, e.g. with an approximate index, the best one is repeated.

        Args:
            queries: float32 [n, d], finite and not zero.
            k: How many, at least 1.

        Raises:
            InvalidInput: it finds nothing, or a name that it did not list.
        """
        rows = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), _AT_ONCE):
            some = np.ascontiguousarray(queries[start : start + _AT_ONCE], np.float32)
            answers = self._database.search(some, min(k, len(self._names)))
            if len(answers) != len(some):
                raise InvalidInput(f"{self._address}: it answers {len(answers)} of {len(some)} queries", hint=_HINT)
            for row, answer in enumerate(answers, start):
                found = self._rows_of(list(answer)[:k])
                rows[row] = found[0]
                rows[row, : len(found)] = found
        return rows

    def _rows_of(self, names: list[str]) -> npt.NDArray[np.int64]:
        if not names:
            raise InvalidInput(f"{self._address}: it finds nothing for a query", hint=_HINT)
        found = self._names.find(names)
        if (found < 0).any():
            unknown = printable(names[int(found.argmin())])
            raise InvalidInput(f"{self._address}: it finds {unknown!r}, which it did not list", hint=_HINT)
        return found
