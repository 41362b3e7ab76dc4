"""Vectors in safetensors files, read in place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export._text import printable
from prunnet_export.vectors._arrays import one_line
from prunnet_export.vectors._fields import checked_labels, checked_metric, checked_network
from prunnet_export.vectors._forms import INT8_SCALE, dim_of, form_of
from prunnet_export.vectors._members import size_of
from prunnet_export.vectors._numpy_files import FileRows
from prunnet_export.vectors._stored import StoredVectors, check_shape

_EXPECTED = "save the vectors as the tensor `embeddings`, [vectors, dimensions]"
_LENGTH = 8  # bytes of the header's length
_LONGEST_HEADER = 2**20
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I64": "<i8", "I32": "<i4"}

_Tensor = tuple[np.dtype[Any], tuple[int, ...], int]


def open_safetensors(file: Path) -> StoredVectors:
    """The vectors of a safetensors file: the tensor ``embeddings``, and if it is there ``labels``.

    The metadata may have ``metric`` and ``network``.

    Raises:
        InvalidInput: it is corrupt, empty, holds no vectors, or its parts do not fit together.
    """
    try:
        with open_regular(file) as opened:
            header, content = _read_header(opened)
            tensors = {name: _tensor(facts, content, size_of(opened)) for name, facts in header.items()}
            if "embeddings" not in tensors:
                found = ", ".join(map(printable, list(tensors)[:12]))
                raise InvalidInput(f"{file} has no `embeddings`, only {found or 'nothing'}", hint=_EXPECTED)
            labels = _array(opened, tensors["labels"]) if "labels" in tensors else None
            metadata = header.metadata
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InvalidInput(f"{file} is not a readable safetensors file ({one_line(error)})", hint=_EXPECTED) from None
    dtype, shape, place = tensors["embeddings"]
    form = form_of(dtype, file)
    check_shape(shape, file)
    facts = {name: np.array(metadata[name]) for name in ("metric", "network") if name in metadata}
    return StoredVectors(
        file,
        shape[0],
        dim_of(form, shape[1]),
        form,
        FileRows(file, dtype, shape[1], place, INT8_SCALE),
        labels=checked_labels(labels, shape[0], file),
        metric=checked_metric(facts.get("metric"), file),
        network=checked_network(facts.get("network"), file),
    )


class _Header(dict[str, Any]):
    """The tensors of a header by name, and its metadata."""

    metadata: dict[str, str]


def _read_header(opened: BinaryIO) -> tuple[_Header, int]:
    """The header, and where the tensors begin; raises ValueError if it is damaged."""
    length = int.from_bytes(opened.read(_LENGTH), "little")
    if not 0 < length <= min(_LONGEST_HEADER, size_of(opened) - _LENGTH):
        raise ValueError(f"a header of {length} bytes")
    parsed = parse_json(opened.read(length))
    if not isinstance(parsed, dict):
        raise TypeError("its header is no JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("its metadata are no texts")
    header = _Header(parsed)
    header.metadata = metadata
    return header, _LENGTH + length


def _tensor(facts: Any, content: int, size: int) -> _Tensor:
    """The dtype, the shape and the place of a tensor; raises if they do not fit together or into the file."""
    name, shape, (start, stop) = facts["dtype"], tuple(facts["shape"]), facts["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, start, stop)):
        raise ValueError("a length or an offset is no number")
    dtype = np.dtype(_DTYPES.get(name, "V2"))  # another one is refused if it is asked for
    if content + stop > size or (name in _DTYPES and stop - start != math.prod(shape) * dtype.itemsize):
        raise ValueError("a tensor is cut off, or has another size than its shape")
    return dtype, shape, content + start


def _array(opened: BinaryIO, tensor: _Tensor) -> npt.NDArray[Any]:
    dtype, shape, place = tensor
    size = math.prod(shape) * dtype.itemsize
    if size > ARRAYS_BYTES:
        raise ValueError(f"{size} bytes of labels")
    opened.seek(place)
    return np.frombuffer(opened.read(size), dtype).reshape(shape)
