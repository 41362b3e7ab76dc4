"""Damage to the contents of a file: what disks, networks and people who mean harm do."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

Draw = np.random.Generator

_EXTREMES = (0, 1, -1, 2**15, 2**16 - 1, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1)
_NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"2147483648",
    b"4000000000",
    b"0.5",
    b"1e-320",
    b"9" * 5000,
)
_NESTS = (b"[", b'{"a":', b"(", b"((", b"]", b"a.", b"\x80\x02]", b"}", b"{", b'"', b"\\")
_DEPTHS = (1, 60, 1000, 100_000)
_SPARSE = 100 * 2**30


def flip(content: bytearray, draw: Draw) -> None:
    """Change up to twenty bytes."""
    for _ in range(int(draw.integers(1, 20))):
        content[_place(content, draw)] = int(draw.integers(256))


def cut(content: bytearray, draw: Draw) -> None:
    """Cut the end off."""
    del content[_place(content, draw) :]


def splice(content: bytearray, draw: Draw) -> None:
    """Put a part of the file, or zeros, in place of another part."""
    start, length, place = _place(content, draw), int(draw.integers(1, 200)), _place(content, draw)
    part = bytes(length) if draw.random() < 0.2 else bytes(content[start : start + length])
    content[place : place + (length if draw.random() < 0.5 else int(draw.integers(0, 200)))] = part


def sizes(content: bytearray, draw: Draw) -> None:
    """Write extreme numbers over places where lengths may stand."""
    for _ in range(int(draw.integers(1, 4))):
        width, order = int(draw.choice((2, 4, 8))), str(draw.choice(("<", ">")))
        number = _EXTREMES[int(draw.integers(len(_EXTREMES)))] % 2 ** (8 * width)
        place = _place(content, draw)
        content[place : place + width] = struct.pack(f"{order}{ {2: 'H', 4: 'I', 8: 'Q'}[width] }", number)


def numbers(content: bytearray, draw: Draw) -> None:
    """Write extreme numbers over numbers in a text."""
    found = list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?", content))
    if not found:
        sizes(content, draw)
        return
    match = found[int(draw.integers(len(found)))]
    content[match.start() : match.end()] = _NUMBERS[int(draw.integers(len(_NUMBERS)))]


def nest(content: bytearray, draw: Draw) -> None:
    """Put brackets, or other openings, into one another."""
    place = _place(content, draw)
    count = _DEPTHS[int(draw.integers(len(_DEPTHS)))]
    content[place:place] = _NESTS[int(draw.integers(len(_NESTS)))] * count


MUTATORS: tuple[Callable[[bytearray, Draw], None], ...] = (flip, cut, splice, sizes, numbers, nest)


def write_damaged(file: Path, content: bytes, draw: Draw) -> None:
    """Put a damaged version of a file, or something that is no file, at its place."""
    file.unlink(missing_ok=True)
    if draw.random() < 0.01:
        _SPECIAL[int(draw.integers(len(_SPECIAL)))](file)
        return
    damaged = bytearray(content)
    # The headers of most files are short, so half of the damage is near the start.
    for _ in range(int(draw.integers(1, 4))):
        if damaged:
            MUTATORS[int(draw.integers(len(MUTATORS)))](damaged, draw)
    file.write_bytes(damaged)


def _place(content: bytearray, draw: Draw) -> int:
    most = max(1, len(content))
    where = draw.random()
    if where < 0.4:
        return int(draw.integers(min(most, 200)))
    return most - 1 - int(draw.integers(min(most, 200))) if where < 0.6 else int(draw.integers(most))


def _sparse(file: Path) -> None:
    file.touch()
    os.truncate(file, _SPARSE)


_SPECIAL: tuple[Callable[[Path], object], ...] = (
    os.mkfifo,
    lambda file: file.symlink_to("/dev/zero"),
    lambda file: file.symlink_to(file),
    _sparse,
    Path.touch,
)
