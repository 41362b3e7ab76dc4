"""Reading arrays from ``.npz`` and ``.npy`` files that are not trusted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes

_MESSAGE_LENGTH = 160


def read_arrays(file: Path, *, what: str, hint: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` by name, or the array of an ``.npy`` as ``embeddings``. No code in it is executed.

    Args:
        file: The file.
        what: The expected kind of file, for error messages.
        hint: Hint of error messages.

    Raises:
        InvalidInput: the file cannot be read, or is of another kind.
    """
    content = read_bytes(file)
    try:
        stored = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"embeddings": stored} if isinstance(stored, np.ndarray) else {n: stored[n] for n in stored.files}
    except Exception as error:  # noqa: BLE001  # numpy, zipfile, zlib and tokenize raise many types on bad bytes
        raise InvalidInput(f"{file} is not {what} ({one_line(error)})", hint=hint) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy returns other members as bytes
            raise InvalidInput(f"{file} is not {what} ({name} is no array)", hint=hint)
    return arrays


def one_line(error: Exception) -> str:
    """What an error says, short and in one line."""
    return " ".join(str(error).split())[:_MESSAGE_LENGTH] or type(error).__name__
