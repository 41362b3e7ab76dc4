"""Reading one array of an ``.npz`` or ``.npy``. Its header is compared with the file before memory is taken."""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from prunnet_export._limits import EXPANSION, SMALL_MEMBER

_LONGEST_HEADER = 64 * 2**10
_MAGIC = 8  # bytes of the magic number with the version
_ENCRYPTED = 1


class PythonObjectsError(ValueError):
    """An array holds Python objects, which are not read because reading them executes code."""


Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive by their names, without ``.npy``.

    Args:
        archive: The archive.
        size: Its size, in bytes.

    Raises:
        ValueError: a member is encrypted, or compressed in a way that numpy never uses, or the members expand so much
            that they are no arrays that someone saved.
    """
    members = archive.infolist()
    for member in members:
        if member.flag_bits & _ENCRYPTED or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ValueError(f"{member.filename[:40]!r} is encrypted or of an unknown compression")
    if sum(member.file_size for member in members) > max(SMALL_MEMBER, EXPANSION * size):
        raise ValueError(f"it expands to more than {EXPANSION} times its size")
    return {member.filename.removesuffix(".npy"): member for member in members}


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, at_most: int) -> npt.NDArray[Any]:
    """The array in a member of an archive.

    Raises:
        ValueError: it is damaged, holds Python objects, or is larger than ``at_most`` bytes.
        zipfile.BadZipFile: the archive is damaged.
    """
    with archive.open(member) as opened:
        return read_array(opened, left=member.file_size, at_most=at_most)  # type: ignore[arg-type]  # it is binary


def read_array(opened: BinaryIO, *, left: int, at_most: int) -> npt.NDArray[Any]:
    """The array that begins here in a file.

    Args:
        opened: The file.
        left: How many bytes follow.
        at_most: The largest size of the array, in bytes.

    Raises:
        ValueError: it is damaged, holds Python objects, or is larger.
    """
    (shape, fortran, dtype), length = read_header(opened)
    size = math.prod(shape) * dtype.itemsize
    if size > at_most:
        raise ValueError(f"an array of {size} bytes is too large")
    if size > left - length:
        raise ValueError(f"the last {size - left + length} bytes are missing")
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = opened.readinto(view)  # type: ignore[attr-defined]  # every buffered file has it
        if not count:
            raise ValueError(f"the last {len(view)} bytes are missing")
        view = view[count:]
    opened.read(1)  # at the end of a member its checksum is compared
    flat = np.frombuffer(content, dtype) if size else np.zeros(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def read_header(opened: BinaryIO) -> tuple[Header, int]:
    """The shape, the order and the dtype of the array that begins here, and the length of the header in bytes.

    Raises:
        PythonObjectsError: the array holds Python objects.
        ValueError: it is no header, is longer than a header can be, or a length is negative.
    """
    start = opened.read(_MAGIC)
    version = npy_format.read_magic(io.BytesIO(start))
    length = opened.read(2 if version == (1, 0) else 4)
    count = int.from_bytes(length, "little")
    if count > _LONGEST_HEADER:
        raise ValueError(f"a header of {count} bytes")
    header = io.BytesIO(length + opened.read(count))
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(header)
    except Exception as error:  # noqa: BLE001  # numpy lets errors of tokenize through
        raise ValueError(f"its header is damaged ({error})") from None
    if dtype.hasobject:
        raise PythonObjectsError("it holds Python objects")
    if any(side < 0 for side in shape):
        raise ValueError("it has a negative length")
    return (shape, fortran, dtype), len(start) + len(length) + count


def size_of(opened: BinaryIO) -> int:
    """The size of an open file, in bytes."""
    return os.fstat(opened.fileno()).st_size
