"""Vectors that FAISS gives back from an index that is not flat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.vectors._arrays import one_line
from prunnet_export.vectors._forms import Stored
from prunnet_export.vectors._metrics import Metric, Vectors
from prunnet_export.vectors._names import Names
from prunnet_export.vectors._stored import Rows, StoredVectors, vectors_in_memory

_LISTS = ("IndexIVFFlat", "IndexIVFScalarQuantizer", "IndexIVFPQ")
_OTHERS = (
    *("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexScalarQuantizer", "IndexPQ"),
    *("IndexHNSWFlat", "IndexHNSWSQ", "IndexHNSWPQ", "IndexNSGFlat"),
)
_HINT = "write a flat index, or save the vectors as .npy"


class _IndexRows(Rows):
    """The rows of an index.

    Args:
        index: A FAISS index.
        keys: int64 [n], the keys of the rows; None if they are 0 to n - 1.
    """

    def __init__(self, index: Any, keys: npt.NDArray[np.int64] | None) -> None:
        self._index = index
        self._keys = keys

    def read(self, start: int, stop: int) -> Vectors:
        if self._keys is not None or start == stop:
            return self.pick(np.arange(start, stop))
        rows: Vectors = self._index.reconstruct_n(start, stop - start)
        return rows

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        keys = indices if self._keys is None else self._keys[indices]
        rows = np.empty((len(keys), self._index.d), np.float32)
        for row, key in zip(rows, keys.tolist(), strict=True):
            self._index.reconstruct(key, row)
        return rows


def read_by_faiss(file: Path, count: int, dim: int, metric: Metric | None, *, binary: bool) -> StoredVectors:
    """The vectors of an index file whose header was read.

    Args:
        file: The file.
        count: How many vectors its header promises.
        dim: Which length of them its header promises.
        metric: The metric of its header.
        binary: Whether it is an index of binary codes.

    Raises:
        InvalidInput: the rest of it does not fit, or an index of its kind cannot give vectors back.
        MissingExtra: FAISS is not installed.
    """
    faiss = require("faiss", extra="vectors")
    read = faiss.read_index_binary if binary else faiss.read_index
    faiss.set_deserialization_vector_byte_limit(file.stat().st_size)  # no list takes more memory than the file has
    try:
        # Lists of an inverted file stay on the disk.
        index = read(str(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        inner, names = _without_ids(faiss, index, file, binary=binary)
        if inner.ntotal != count or inner.d != dim or (names is not None and len(names) != count):
            raise InvalidInput(f"{file} is not a readable FAISS index (its lengths do not fit)", hint="copy it again")
        if binary:
            codes = faiss.vector_to_array(inner.xb).reshape(count, -1)
            return vectors_in_memory(codes, file).named(names)
        keys, inner_names = _keys(faiss, inner, file)
        source = _IndexRows(inner, keys)
        source.pick(np.array([0, count - 1]))
    except (RuntimeError, MemoryError, ValueError) as error:
        raise InvalidInput(f"{file} is not a readable FAISS index ({one_line(error)})", hint=_HINT) from None
    vectors = StoredVectors(file, count, dim, _form(faiss, inner), source, metric=metric)
    return vectors.named(inner_names if names is None else names)


def _without_ids(faiss: Any, index: Any, file: Path, *, binary: bool) -> tuple[Any, Names | None]:
    """The index inside a map of ids, and the ids as names."""
    if not hasattr(index, "id_map"):
        return index, None
    inner = faiss.downcast_IndexBinary(index.index) if binary else faiss.downcast_index(index.index)
    inner.referenced_objects = [index]  # the map owns the index inside it
    return inner, Names(map(str, faiss.vector_to_array(index.id_map).tolist()), file)


def _keys(faiss: Any, index: Any, file: Path) -> tuple[npt.NDArray[np.int64] | None, Names | None]:
    """The keys under which an index gives vectors back, and their names if the keys do not count the rows.

    Raises:
        InvalidInput: an index of this kind does not give vectors back, or a key is there twice.
    """
    kind = type(index).__name__
    if kind not in (*_LISTS, *_OTHERS):
        raise InvalidInput(f"{file}: a FAISS {kind} does not give its vectors back", hint=_HINT)
    if kind not in _LISTS:
        return None, None
    lists = index.invlists
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
        for number in range(index.nlist)
        if lists.list_size(number)
    ]
    keys = np.sort(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, np.int64)
    if len(keys) != index.ntotal:
        raise InvalidInput(f"{file} is not a readable FAISS index (its lengths do not fit)", hint="copy it again")
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    counted = bool((keys == np.arange(len(keys))).all())
    return keys, None if counted else Names(map(str, keys.tolist()), file)


def _form(faiss: Any, index: Any) -> Stored:
    kind = type(index).__name__
    if "Flat" in kind:
        return "float32"
    quantiser = faiss.ScalarQuantizer
    half = (quantiser.QT_fp16, quantiser.QT_bf16)
    byte = (quantiser.QT_8bit, quantiser.QT_8bit_uniform, quantiser.QT_8bit_direct)
    coding = index.sq.qtype if hasattr(index, "sq") else None
    return "float16" if coding in half else "int8" if coding in byte else "faiss"
