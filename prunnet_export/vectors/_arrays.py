"""Reading arrays from ``.npz`` and ``.npy`` files that are not trusted."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export.vectors._members import checked_members, read_array, read_member, size_of

_MAGIC = b"\x93NUMPY"
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
    try:
        with open_regular(file) as opened:
            return _arrays(opened)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise InvalidInput(f"cannot read {file}: {reason}", hint="check the path and its permissions") from None
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001  # numpy, zipfile, zlib and tokenize raise many types on bad bytes
        raise InvalidInput(f"{file} is not {what} ({one_line(error)})", hint=hint) from None


def _arrays(opened: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    size = size_of(opened)
    if opened.read(len(_MAGIC)) == _MAGIC:
        opened.seek(0)
        return {"embeddings": read_array(opened, left=size, at_most=ARRAYS_BYTES)}
    with zipfile.ZipFile(opened) as archive:
        members, left, arrays = checked_members(archive, size), ARRAYS_BYTES, {}
        for name, member in members.items():
            if not member.filename.endswith(".npy"):
                raise ValueError(f"{name[:40]} is no array")
            arrays[name] = read_member(archive, member, at_most=left)
            left -= arrays[name].nbytes
        return arrays


def one_line(error: Exception) -> str:
    """What an error says, short and in one line."""
    return " ".join(str(error).split())[:_MESSAGE_LENGTH] or type(error).__name__
