"""Vectors in Parquet files, streamed by row groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export._imports import require
from prunnet_export._limits import EXPANSION, SMALL_MEMBER
from prunnet_export._text import printable
from prunnet_export.vectors._arrays import one_line
from prunnet_export.vectors._fields import checked_labels
from prunnet_export.vectors._forms import as_float32, dim_of, form_of
from prunnet_export.vectors._metrics import Vectors
from prunnet_export.vectors._names import Names
from prunnet_export.vectors._stored import Rows, StoredVectors

_VECTORS, _NAMES, _LABELS = "embedding", "name", "label"
_EXPECTED = f"expected the columns `{_NAMES}` and `{_VECTORS}`, and `{_LABELS}` if there are labels; rename them"
_BUFFER = 2**20  # bytes; with a buffer, a row group is not read as a whole
_SIZE = 4096
# Row groups up to this many numbers are kept when single rows are asked for.
_KEPT_NUMBERS = 2**24


def open_parquet(file: Path) -> StoredVectors:
    """The vectors of a Parquet file: the columns ``name`` and ``embedding``, and if it is there ``label``.

    Raises:
        InvalidInput: it is corrupt or empty, or its columns are others or of other types.
        MissingExtra: pyarrow is not installed.
    """
    with _parquet_errors(file):
        opened = _open(file)
        columns = opened.schema_arrow.names
        if _VECTORS not in columns or _NAMES not in columns:
            found = ", ".join(map(printable, columns[:12]))
            raise InvalidInput(f"{file} has the columns {found or 'none'}", hint=_EXPECTED)
        count = opened.metadata.num_rows
        if count == 0:
            raise InvalidInput(f"{file} has no rows", hint=_EXPECTED)
        _check_size(opened.metadata, file)
        first = next(_batches(file, opened, list(range(opened.num_row_groups)), None, size=1))
        names = Names(_column(opened, _NAMES), file)
        labels = checked_labels(_labels(opened), count, file) if _LABELS in columns else None
    form = form_of(first.dtype, file)
    source = _ParquetRows(file, first.shape[1])
    return StoredVectors(file, count, dim_of(form, first.shape[1]), form, source, labels=labels).named(names)


class _ParquetRows(Rows):
    """The rows of the column ``embedding``.

    Args:
        file: The file.
        columns: How many numbers a row has.
    """

    def __init__(self, file: Path, columns: int) -> None:
        self._file = file
        self._columns = columns
        with _parquet_errors(file):
            metadata = _open(file).metadata
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups)])
        self._kept = lru_cache(maxsize=2)(self._group)

    def read(self, start: int, stop: int) -> Vectors:
        return self.pick(np.arange(start, stop))

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        rows: Vectors | None = None
        groups = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(groups).tolist():
            mine = np.flatnonzero(groups == number)
            found = as_float32(self._from_group(number, indices[mine] - self._starts[number]))
            if rows is None:
                rows = np.empty((len(indices), found.shape[1]), np.float32)
            rows[mine] = found
        return as_float32(self._nothing()) if rows is None else rows

    def scan(self, count: int, size: int) -> Iterator[Vectors]:
        del count  # all of them
        rest = self._nothing()
        with _parquet_errors(self._file):
            opened = _open(self._file)
            for batch in _batches(self._file, opened, list(range(opened.num_row_groups)), self._columns, size=size):
                # Batches end with row groups, so rows are put together again.
                rest = batch if len(rest) == 0 else np.concatenate([rest.astype(batch.dtype), batch])
                while len(rest) >= size:
                    yield as_float32(rest[:size])
                    rest = rest[size:]
        if len(rest):
            yield as_float32(rest)

    def _from_group(self, number: int, wanted: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows of a row group, as stored."""
        if (self._starts[number + 1] - self._starts[number]) * self._columns <= _KEPT_NUMBERS:
            return self._kept(number)[wanted]
        with _parquet_errors(self._file):
            found, start = [], 0
            order = np.argsort(wanted, kind="stable")
            for batch in _batches(self._file, _open(self._file), [number], self._columns):
                first, last = np.searchsorted(wanted[order], [start, start + len(batch)])
                found.append(batch[wanted[order[first:last]] - start])
                start += len(batch)
        rows = np.concatenate(found)
        return rows[np.argsort(order, kind="stable")]

    def _group(self, number: int) -> npt.NDArray[Any]:
        with _parquet_errors(self._file):
            return np.concatenate(list(_batches(self._file, _open(self._file), [number], self._columns)))

    def _nothing(self) -> npt.NDArray[Any]:
        return np.zeros((0, self._columns), np.float32)


def _check_size(metadata: Any, file: Path) -> None:
    """Raise InvalidInput if a file says that it expands to much more than vectors and names can be compressed."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [sum(group.total_byte_size for group in groups), metadata.num_rows]
    sizes += [group.column(number).num_values for group in groups for number in range(group.num_columns)]
    if max(sizes) > max(SMALL_MEMBER, EXPANSION * file.stat().st_size):
        raise InvalidInput(f"{file} expands to more than {EXPANSION} times its size", hint=_EXPECTED)


def _open(file: Path) -> Any:
    with open_regular(file):
        pass  # pyarrow would wait for a writer of a named pipe
    return require("pyarrow.parquet", extra="vectors").ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)


@contextmanager
def _parquet_errors(file: Path) -> Iterator[None]:
    """Turn what pyarrow raises into an InvalidInput."""
    arrow = require("pyarrow", extra="vectors")
    try:
        yield
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"{file} is not a readable Parquet file ({one_line(error)})", hint=_EXPECTED) from None


def _batches(
    file: Path, opened: Any, groups: list[int], columns: int | None, size: int = _SIZE
) -> Iterator[npt.NDArray[Any]]:
    """The vectors of row groups as stored, in parts of at most ``size``.

    Raises:
        InvalidInput: a vector is missing, has missing numbers, or has another length than ``columns``.
    """
    start = sum(opened.metadata.row_group(number).num_rows for number in range(groups[0]))
    for batch in opened.iter_batches(batch_size=size, row_groups=groups, columns=[_VECTORS], use_threads=False):
        column = batch.column(0)
        lengths = _lengths(column, file)
        width = columns or max(1, int(lengths[0]))
        numbers = column.flatten()
        bad = np.flatnonzero(lengths != width)
        if len(bad) == 0 and numbers.null_count:
            bad = np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False)) // width
        if len(bad):
            raise InvalidInput(
                f"{file}: vector {start + bad[0]} is missing, incomplete, or has another length than {width}",
                hint="every name needs a vector, and all vectors need one length",
            )
        yield numbers.to_numpy(zero_copy_only=False).reshape(-1, width)
        start += len(column)


def _lengths(column: Any, file: Path) -> npt.NDArray[np.int64]:
    """The lengths of the lists in a column, 0 for a missing one; raises InvalidInput if it has no lists."""
    kinds = require("pyarrow", extra="vectors").types
    if kinds.is_fixed_size_list(column.type):
        lengths = column.is_valid().to_numpy(zero_copy_only=False) * column.type.list_size
    elif kinds.is_list(column.type) or kinds.is_large_list(column.type):
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    else:
        raise InvalidInput(f"{file}: `{_VECTORS}` is of type {column.type}", hint="expected lists of numbers")
    return np.asarray(lengths, np.int64)


def _column(opened: Any, name: str) -> Iterator[Any]:
    for batch in opened.iter_batches(batch_size=_SIZE, columns=[name], use_threads=False):
        yield from batch.column(0).to_pylist()


def _labels(opened: Any) -> npt.NDArray[Any]:
    labels = list(_column(opened, _LABELS))
    if None in labels:
        raise ValueError(f"`{_LABELS}` {labels.index(None)} is missing")
    return np.array(labels)
