"""Vectors to store, and files of every kind that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from prunnet_export.vectors import StoredVectors


def numbers(n: int = 50, d: int = 16, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """float32 [n, d] that float16 holds without rounding, and that are no unit vectors."""
    drawn = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float16)
    drawn[:, 0] += np.float16(2)
    return drawn.astype(np.float32)


def write_parquet(file: Path, embedding: Any, **options: Any) -> Path:
    """A Parquet file with the columns ``name`` and ``embedding``, and others by keyword."""
    names = options.pop("name", [f"{row}.jpg" for row in range(len(embedding))])
    table = {"name": names, "embedding": embedding}
    table |= {"label": options.pop("label")} if "label" in options else {}
    pq.write_table(pa.table(table), file, **options)
    return file


def lists(array: npt.NDArray[Any], *, fixed: bool = False) -> pa.Array:
    """The rows of an array as a column of lists."""
    flat = pa.array(array.ravel())
    if fixed:
        return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
    return pa.ListArray.from_arrays(np.arange(0, array.size + 1, array.shape[1], dtype=np.int32), flat)


def assert_reads(vectors: StoredVectors, expected: npt.NDArray[np.float32]) -> None:
    """Rows, single rows and chunks are the expected ones to the last bit."""
    assert (vectors.count, vectors.dim) == expected.shape
    for start, stop in [(0, vectors.count), (3, 7), (4, 4), (vectors.count - 1, vectors.count + 5)]:
        read = vectors.rows(start, stop)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected[start:stop])
    indices = np.array([vectors.count - 1, 0, 5, 0])
    np.testing.assert_array_equal(vectors.take(indices), expected[indices])
    assert vectors.take(np.zeros(0, np.int64)).shape == (0, vectors.dim)
    for size in (1, 7, vectors.count, 1000):
        chunks = list(vectors.chunks(size))
        assert [start for start, _ in chunks] == list(range(0, vectors.count, size))
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in chunks]), expected)
