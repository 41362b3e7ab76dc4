"""Vectors in index files of FAISS. A flat index is read in place, without FAISS."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export.vectors._faiss_rows import read_by_faiss
from prunnet_export.vectors._forms import INT8_SCALE, Stored
from prunnet_export.vectors._metrics import Metric
from prunnet_export.vectors._numpy_files import FileRows
from prunnet_export.vectors._stored import StoredVectors

# fourcc, d, n, two numbers that are not used, is_trained, metric
_FLOAT_HEADER = struct.Struct("<4siqqq?i")
# fourcc, d, bytes of a code, n, is_trained, metric
_BINARY_HEADER = struct.Struct("<4siiq?i")
_LENGTH = struct.Struct("<q")
_METRICS: dict[int, Metric] = {0: "dot", 1: "l2"}
_BITS = 8
_FLAT = (b"IxFI", b"IxF2", b"IxFl", b"IBxF")
_BINARY = (b"IBxF", b"IBMp", b"IBM2")
# FAISS aborts the process if it is asked for the vectors of some other kinds. So only these are opened.
_BY_FAISS = (
    *(b"IxSQ", b"IxPq", b"IHNf", b"IHNs", b"IHNp", b"INSf"),
    *(b"IwFl", b"IwSq", b"IwSQ", b"IwPQ"),
    *(b"IxMp", b"IxM2", b"IBMp", b"IBM2"),
)
_HINT = "write a flat index, or save the vectors as .npy"


@dataclass(frozen=True)
class _Header:
    kind: bytes
    dim: int
    count: int
    metric: Metric | None
    columns: int
    content: int  # where the vectors of a flat index begin
    stored: int  # how many numbers a flat index says that it has


def open_faiss(file: Path) -> StoredVectors:
    """The vectors of an index file. Ids that an index stores become names.

    Raises:
        InvalidInput: it is corrupt or empty, has another metric than inner product and L2, or an index of its kind
            cannot give vectors back.
        MissingExtra: the index is not flat, and FAISS is not installed.
    """
    header = _read_header(file)
    if header.kind not in _FLAT:
        return read_by_faiss(file, header.count, header.dim, header.metric, binary=header.kind in _BINARY)
    binary = header.kind in _BINARY
    dtype = np.dtype(np.uint8 if binary else "<f4")
    end = header.content + header.count * header.columns * dtype.itemsize
    if header.stored != header.count * header.columns or end > file.stat().st_size:
        raise InvalidInput(f"{file} is a FAISS index that is cut off or corrupt", hint="copy it again")
    source = FileRows(file, dtype, header.columns, header.content, INT8_SCALE)
    form: Stored = "binary" if binary else "float32"
    return StoredVectors(file, header.count, header.dim, form, source, metric=header.metric)


def _read_header(file: Path) -> _Header:
    with open_regular(file) as opened:
        start = opened.read(_FLOAT_HEADER.size + _LENGTH.size)
    kind = start[:4]
    if kind not in {*_FLAT, *_BY_FAISS}:
        name = kind.decode("ascii", "replace")
        raise InvalidInput(f"{file}: a FAISS index of kind {name} does not give its vectors back", hint=_HINT)
    layout = _BINARY_HEADER if kind in _BINARY else _FLOAT_HEADER
    content = layout.size + _LENGTH.size
    if len(start) < content:
        raise InvalidInput(f"{file} is a FAISS index that is cut off or corrupt", hint="copy it again")
    if kind in _BINARY:
        _, dim, columns, count, trained, _ = layout.unpack_from(start)
        metric, fits = None, columns * _BITS == dim
    else:
        _, dim, count, _, _, trained, number = layout.unpack_from(start)
        if number not in _METRICS:
            raise InvalidInput(f"{file}: the metric of the index is neither inner product nor L2", hint=_HINT)
        columns, metric, fits = dim, _METRICS[number], True
    # The smallest code of a vector takes one byte.
    if not (fits and trained and dim > 0 and 0 < count <= file.stat().st_size):
        raise InvalidInput(f"{file}: the index is empty, not trained or corrupt", hint=_HINT)
    return _Header(kind, dim, count, metric, columns, content, _LENGTH.unpack_from(start, layout.size)[0])
