"""Hostile files, which attack the program that reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Rewrite = Callable[[bytes], bytes]


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.file,))


def pickled(array: np.ndarray) -> bytes:
    """An array of objects as .npy."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(content: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as opened:
        for name, data in content.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def with_arrays(archive: bytes, **arrays: Any) -> bytes:
    """The archive with some arrays replaced; None removes one."""
    content = members(archive)
    for name, array in arrays.items():
        content.pop(f"{name}.npy", None)
        if array is not None:
            content[f"{name}.npy"] = pickled(np.asarray(array))
    return zipped(content)


def claims_to_be_huge() -> bytes:
    """A .npy whose header states a size of a petabyte."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 256)}"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def broken_header() -> bytes:
    """A .npy whose header never closes its bracket."""
    header = b"{'descr': ('<f4', [(((" + b" " * 40 + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def encrypted(archive: bytes) -> bytes:
    """The archive with the flag of an encrypted member set, locally and in the directory."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[changed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def unknown_compression(archive: bytes) -> bytes:
    """The archive with an unknown compression method."""
    changed = bytearray(archive)
    changed[8] = 77
    changed[changed.index(b"PK\x01\x02") + 10] = 77
    return bytes(changed)


def damaged_deflate(archive: bytes) -> bytes:
    """The archive, compressed, with garbage in every compressed stream."""
    changed = bytearray(zipped(members(archive), compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(changed)) as opened:
        heads = [member.header_offset for member in opened.infolist()]
    for head in heads:
        names = changed[head + 26 : head + 30]
        start = head + 30 + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
        changed[start : start + 8] = b"\xff" * 8
    return bytes(changed)


FOREIGN: dict[str, Rewrite] = {
    "empty": lambda _: b"",
    "text": lambda _: b"not a zip file at all",
    "a bare pickle": lambda _: b"\x80\x04K\x01.",
    "half of it": lambda whole: whole[: len(whole) // 2],
    "all but the last bytes": lambda whole: whole[:-20],
    "only the head": lambda whole: whole[:10],
    "a zip of garbage": lambda whole: zipped(dict.fromkeys(members(whole), b"garbage")),
    "a zip of nothing": lambda _: zipped({}),
    "encrypted": encrypted,
    "unknown compression": unknown_compression,
    "damaged stream": damaged_deflate,
    "a petabyte": lambda whole: zipped(dict.fromkeys(members(whole), claims_to_be_huge())),
    "a header without end": lambda whole: zipped(dict.fromkeys(members(whole), broken_header())),
}
