"""Arrays out of ``.npz`` and ``.npy`` files that nobody vouches for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes

_LONGEST = 160


def read_arrays(file: Path, *, what: str, hint: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` by name, or the one of an ``.npy`` as ``embeddings``; nothing is executed.

    Args:
        file: The file.
        what: What it should be, for the error.
        hint: For the error.

    Raises:
        InvalidInput: it cannot be read, or is something else.
    """
    content = read_bytes(file)
    try:
        stored = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"embeddings": stored} if isinstance(stored, np.ndarray) else {n: stored[n] for n in stored.files}
    except Exception as error:  # noqa: BLE001  # on foreign bytes numpy, zipfile, zlib and tokenize raise what they like
        raise InvalidInput(f"{file} is not {what} ({_one_line(error)})", hint=hint) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands out other members as bytes
            raise InvalidInput(f"{file} is not {what} ({name} is no array)", hint=hint)
    return arrays


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__
