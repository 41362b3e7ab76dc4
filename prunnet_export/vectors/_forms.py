"""The forms in which vectors are stored, and what a stored row means as float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.vectors._metrics import Vectors

# float64 is read as float32. "faiss" is a compressed form of FAISS, such as product quantisation.
Stored: TypeAlias = Literal["float32", "float16", "int8", "binary", "faiss"]
Scale: TypeAlias = "float | Vectors"

INT8_SCALE = 1 / 127
_BITS = 8
_FORMS: dict[tuple[str, int], Stored] = {
    ("f", 2): "float16",
    ("f", 4): "float32",
    ("f", 8): "float32",
    ("i", 1): "int8",
    ("u", 1): "binary",
}


def form_of(dtype: np.dtype[Any], file: Path) -> Stored:
    """The form that a dtype stands for.

    Raises:
        InvalidInput: vectors are not stored in this dtype.
    """
    form = _FORMS.get((dtype.kind, dtype.itemsize))
    if form is None:
        raise InvalidInput(
            f"{file}: the vectors are {dtype}",
            hint="expected float16, float32 or float64 numbers, int8 codes, or uint8 of packed bits",
        )
    return form


def dim_of(form: Stored, columns: int) -> int:
    """The length of the vectors that are stored in so many columns."""
    return columns * _BITS if form == "binary" else columns


def as_float32(stored: npt.NDArray[Any], scale: Scale = INT8_SCALE) -> Vectors:
    """Stored rows as numbers.

    Args:
        stored: [k, columns]. Floats are converted; int8 codes are multiplied by the scale; a bit of uint8 becomes 1 or
            -1, the highest bit of a byte first, as ``numpy.packbits`` writes it.
        scale: A number, or float32 [columns].

    Returns:
        float32 [k, d]. Numbers outside the range of float32 are infinite.
    """
    if stored.dtype == np.uint8:
        bits = np.unpackbits(stored, axis=1).astype(np.float32)
        bits *= 2
        bits -= 1
        return bits
    with np.errstate(over="ignore"):
        numbers = stored.astype(np.float32)
    if stored.dtype == np.int8:
        numbers *= np.asarray(scale, np.float32)
    return numbers


def first_dimensions(vectors: Vectors, count: int) -> Vectors:
    """The first dimensions of vectors as unit vectors, as a gallery holds them that was cut to save space.

    Args:
        vectors: float32 [n, d].
        count: How many dimensions to keep, 1 to d.

    Returns:
        float32 [n, count]; a row that is zero stays zero.

    Raises:
        InvalidInput: there are not that many dimensions.
    """
    if not 1 <= count <= vectors.shape[1]:
        raise InvalidInput(
            f"the first {count} of {vectors.shape[1]} dimensions were asked for", hint="ask for 1 up to all of them"
        )
    cut = vectors[:, :count]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return (cut / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def unit_vectors(vectors: Vectors) -> Vectors:
    """The vectors float32 [n, d], none of them zero, divided by their lengths."""
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
