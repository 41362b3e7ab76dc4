"""Vectors in ``.npy`` and ``.npz`` files. What is not compressed is read in place."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export._text import printable
from prunnet_export.vectors._arrays import one_line
from prunnet_export.vectors._fields import checked_labels, checked_metric, checked_network, checked_scale
from prunnet_export.vectors._forms import INT8_SCALE, Scale, as_float32, dim_of, form_of
from prunnet_export.vectors._members import PythonObjectsError, checked_members, read_header, read_member, size_of
from prunnet_export.vectors._metrics import Vectors
from prunnet_export.vectors._names import Names
from prunnet_export.vectors._stored import ArrayRows, Rows, StoredVectors, check_shape, vectors_in_memory

_EXPECTED = "save vectors with numpy.save, or with numpy.savez as `embeddings`"
_PARTS = {
    "names": "texts: numpy.array(names, dtype=str)",
    "labels": "integers or texts",
    "metric": "one text",
    "network": "one text",
    "scale": "positive numbers",
}
_NUMBERS = "numbers: numpy.array(vectors, dtype=numpy.float32), all of one length"
_LOCAL_HEADER = 30  # bytes of a zip member's header before its name
_MOST_TEXT = 16 * 2**10  # bytes of the longest name or label
_MOST_OF_ONE = 2**20  # bytes of a part that is one text, or a number for each dimension


class FileRows(Rows):
    """Rows that lie one after another in a file.

    They are read and not memory-mapped: mapped pages count as memory of the process.

    Args:
        file: The file.
        dtype: The dtype of a stored number.
        columns: How many of them make a row.
        offset: Where the first row begins, in bytes.
        scale: What int8 codes are multiplied by.
    """

    def __init__(self, file: Path, dtype: np.dtype[Any], columns: int, offset: int, scale: Scale) -> None:
        self._file = file
        self._dtype = dtype
        self._columns = columns
        self._offset = offset
        self._scale: Scale = scale

    def read(self, start: int, stop: int) -> Vectors:
        number, offset = (stop - start) * self._columns, self._offset + start * self._row_bytes
        try:
            with open_regular(self._file) as opened:
                stored = np.fromfile(opened, self._dtype, number, offset=offset)
        except OSError as error:
            raise self._unreadable(error.strerror or "") from None
        if len(stored) != number:
            raise self._unreadable("it became shorter")
        return as_float32(stored.reshape(-1, self._columns), self._scale)

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        content = bytearray()
        try:
            with open_regular(self._file) as opened:
                for index in indices.tolist():
                    content += os.pread(opened.fileno(), self._row_bytes, self._offset + index * self._row_bytes)
        except OSError as error:
            raise self._unreadable(error.strerror or "") from None
        if len(content) != len(indices) * self._row_bytes:
            raise self._unreadable("it became shorter")
        return as_float32(np.frombuffer(content, self._dtype).reshape(-1, self._columns), self._scale)

    @property
    def _row_bytes(self) -> int:
        return self._columns * self._dtype.itemsize

    def _unreadable(self, reason: str) -> InvalidInput:
        return InvalidInput(f"cannot read {self._file}: {reason}", hint="leave the file as it is while it is used")


def open_npy(file: Path) -> StoredVectors:
    """The vectors of an ``.npy``.

    Raises:
        InvalidInput: it is corrupt, empty, or holds no vectors.
    """
    try:
        return _in_place(file, 0, INT8_SCALE)
    except PythonObjectsError:
        raise InvalidInput(f"{file} holds Python objects", hint=f"save {_NUMBERS}") from None
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{file} is not a readable .npy ({one_line(error)})", hint=_EXPECTED) from None


def open_npz(file: Path) -> StoredVectors:
    """The vectors of an ``.npz``: ``embeddings``, and if they are there ``names``, ``labels``, ``metric``, ``network``.

    ``scale``, a number or one for each dimension, is what int8 codes are multiplied by.

    Raises:
        InvalidInput: it is corrupt, empty, holds no vectors, or its parts do not fit together.
    """
    part = "embeddings"
    try:
        with open_regular(file) as opened, zipfile.ZipFile(opened) as archive:
            members = checked_members(archive, size_of(opened))
            count, parts = _count(archive, members), {}
            for name in _PARTS:
                part = name
                if name in members:
                    most = _MOST_TEXT * (count + 1) if name in {"names", "labels"} else _MOST_OF_ONE
                    parts[name] = read_member(archive, members[name], at_most=min(most, ARRAYS_BYTES))
            scale = checked_scale(parts.get("scale"), file)
            vectors = _embeddings(archive, members.get("embeddings"), file, scale)
    except InvalidInput:
        raise
    except PythonObjectsError:
        raise InvalidInput(
            f"{file}: `{part}` holds Python objects", hint=f"save it as {_PARTS.get(part, _NUMBERS)}"
        ) from None
    except Exception as error:  # noqa: BLE001  # numpy, zipfile, zlib and tokenize raise many types on bad bytes
        raise InvalidInput(f"{file} is not a readable .npz ({one_line(error)})", hint=_EXPECTED) from None
    return StoredVectors(
        file,
        vectors.count,
        vectors.dim,
        vectors.stored,
        vectors.source,
        labels=checked_labels(parts.get("labels"), vectors.count, file),
        metric=checked_metric(parts.get("metric"), file),
        network=checked_network(parts.get("network"), file),
    ).named(_names(parts.get("names"), file))


def _names(names: npt.NDArray[Any] | None, file: Path) -> Names | None:
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InvalidInput(f"{file}: `names` is {names.dtype} {list(names.shape)}", hint="expected a list of texts")
    return Names(map(str, names), file)


def _count(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> int:
    """How many vectors an archive says that it has. This limits the sizes of its names and labels."""
    if "embeddings" not in members:
        return 0
    with archive.open(members["embeddings"]) as opened:
        (shape, _, _), _ = read_header(opened)  # type: ignore[arg-type]  # it is binary
    return shape[0] if shape else 0


def _embeddings(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, file: Path, scale: Scale) -> StoredVectors:
    if member is None:
        found = ", ".join(archive.namelist()[:12])
        raise InvalidInput(f"{file} has no `embeddings`, only {printable(found) or 'nothing'}", hint=_EXPECTED)
    if member.compress_type != zipfile.ZIP_STORED:
        return vectors_in_memory(read_member(archive, member, at_most=ARRAYS_BYTES), file, scale=scale)
    with open_regular(file) as opened:
        opened.seek(member.header_offset)
        header = opened.read(_LOCAL_HEADER)
    name, extra = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
    return _in_place(file, member.header_offset + _LOCAL_HEADER + name + extra, scale)


def _in_place(file: Path, position: int, scale: Scale) -> StoredVectors:
    """The array that begins at a position of a file; raises ValueError if it is corrupt."""
    with open_regular(file) as opened:
        opened.seek(position)
        (shape, fortran, dtype), length = read_header(opened)
        missing = position + length + math.prod(shape) * dtype.itemsize - size_of(opened)
    form = form_of(dtype, file)
    check_shape(shape, file)
    if missing > 0:
        raise ValueError(f"the last {missing} bytes are missing")
    if fortran:
        source: Rows = ArrayRows(_mapped(file, dtype, position + length, shape), scale)
    else:
        source = FileRows(file, dtype, shape[1], position + length, scale)
    return StoredVectors(file, shape[0], dim_of(form, shape[1]), form, source)


def _mapped(file: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        return np.memmap(file, dtype, "r", offset, shape, "F")
    except OSError as error:
        raise InvalidInput(f"cannot map {file} into memory: {error.strerror}", hint="save it in C order") from None
