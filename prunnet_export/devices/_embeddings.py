"""The embeddings that a device has written, checked before they are used."""

from __future__ import annotations

import os
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import Unreachable

LARGEST_DIM = 2**16
HEADER_BYTES = 2**12
"""Bytes of a .npy file beside its numbers, at most."""

_BYTES = 4


def file_bytes(count: int, dim: int = LARGEST_DIM) -> int:
    """The largest size of a file with ``count`` embeddings."""
    return HEADER_BYTES + _BYTES * count * dim


def count_inputs(file: Path) -> int:
    """The number of images in a .npy file; 0 if it has no such array, as the device will say."""
    try:
        with file.open("rb") as opened:
            shape = _read_header(opened)[0]
    except (OSError, ValueError):
        return 0
    return shape[0] if shape else 0


def checked_output(file: Path, count: int, dim: int) -> npt.NDArray[np.float32]:
    """The embeddings float32 [count, dim] in a .npy file that a device wrote. They may be NaN: a gate judges that.

    Raises:
        Unreachable: the file has something else. Nothing is read or reserved that its header only claims.
    """
    try:
        with file.open("rb") as opened:
            shape, kind = _read_header(opened)
            rest = os.fstat(opened.fileno()).st_size - opened.tell()
            found = f"{kind} {list(shape)} in {rest} bytes"
            if shape == (count, dim) and kind == np.float32 and rest == _BYTES * count * dim:
                return np.frombuffer(opened.read(), np.float32).reshape(count, dim).copy()
    except OSError as error:
        found = str(error.strerror)
    except ValueError as error:
        found = str(error).partition("\n")[0]
    message = f"the device did not write {count} embeddings of {dim} numbers ({found})"
    raise Unreachable(message, hint="run the same command again")


def _read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Shape and type in the header of a .npy file, whose rows have to lie one after the other."""
    try:
        if np.lib.format.read_magic(opened) != (1, 0):
            raise ValueError("not version 1 of the format")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(opened, max_header_size=HEADER_BYTES)
    except (EOFError, SyntaxError, TokenError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError("no header of a .npy file") from error
    if by_columns or kind.hasobject:
        raise ValueError("columns or objects")
    return shape, kind
