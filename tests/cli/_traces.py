"""Looking for texts in every byte of a folder, also in what is packed inside of its files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ZLIB = tuple(b"\x78" + level for level in (b"\x01", b"\x5e", b"\x9c", b"\xda"))


def traces(folder: Path, texts: list[str]) -> list[str]:
    """The files of a folder whose name or contents have one of the texts, each with that text."""
    found = []
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = file.relative_to(folder).as_posix()
        parts = [name.encode(), *_unpacked(file.read_bytes())]
        found += [f"{name}: {text}" for text in texts if any(_has(part, text) for part in parts)]
    return found


def _has(content: bytes, text: str) -> bool:
    lower = content.lower()
    return any(text.lower().encode(encoding) in lower for encoding in ("utf-8", "utf-16-le", "utf-32-le"))


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The contents, and those of each member of an archive and of each zlib stream in it."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                yield member.filename.encode()
                yield from _unpacked(archive.read(member))
    for start in (place for mark in _ZLIB for place in _places(content, mark)):
        with suppress(zlib.error):  # two bytes may only look like the head of a stream
            yield zlib.decompressobj().decompress(content[start:], 2**24)


def _places(content: bytes, mark: bytes) -> Iterator[int]:
    place = content.find(mark)
    while place >= 0:
        yield place
        place = content.find(mark, place + 1)
