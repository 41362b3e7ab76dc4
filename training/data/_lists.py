"""Text files that list images: read line by line, each line known by its place.

What is wrong with a line is an InvalidInput that begins with the place, ``where``; a file that cannot be read is a
StorageError.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.datasets import Labels


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, without blank ones at its end."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror})", hint="check its permissions") from None
    try:
        return content.decode("utf-8").rstrip().split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{file}:{number}: not UTF-8 text", hint="download the list again") from None


def read_rows(
    file: Path, columns: Sequence[str], *, first: int = 1, header: bool = False, key: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The fields of each line, white space between them, and where the line is.

    Args:
        file: The list.
        columns: What the fields are; as many as there are.
        first: The line to begin with.
        header: That line holds the names of the columns.
        key: The column in which no two rows are equal.
    """
    seen: dict[str, str] = {}
    for number, line in enumerate(read_lines(file)[first - 1 :], first):
        where, fields = f"{file}:{number}", line.split()
        if header and number == first:
            if fields != list(columns):
                raise InvalidInput(f"{where}: no header line", hint=f"line {number} is {' '.join(columns)!r}")
            continue
        if len(fields) != len(columns):
            raise InvalidInput(f"{where}: {len(fields)} fields", hint=f"a row is {' '.join(columns)!r}")
        if key is not None:
            once(where, fields[columns.index(key)], seen)
        yield where, fields


def inside(where: str, text: str) -> str:
    """A relative path that stays inside of the data set, in its shortest spelling."""
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise InvalidInput(f"{where}: {text[:80]!r} lies outside of the data set", hint="paths are relative to it")
    return posixpath.normpath(text)


def locate(where: str, name: str, folders: Sequence[Path]) -> Path:
    """The image of that name in the first folder that has it."""
    name = inside(where, name)
    for folder in folders:
        if os.path.isfile(folder / name):  # noqa: PTH113 - twice as fast as Path.is_file, fifty thousand times
            return folder / name
    places = " or ".join(str(folder) for folder in folders)
    raise InvalidInput(f"{where}: {name} does not exist", hint=f"unpack the images into {places}")


def integer(where: str, text: str, what: str) -> int:
    """A number of at most 18 digits."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:  # noqa: PLR2004 - what int64 holds
        raise InvalidInput(f"{where}: {text[:40]!r} is no {what}", hint="it has to be a whole number")
    return int(text)


def once(where: str, key: str, seen: dict[str, str]) -> None:
    """Note where a key is among those seen; one that is there already is an error that names both places."""
    if key in seen:
        earlier = seen[key].rpartition(":")[2]
        raise InvalidInput(f"{where}: {key} is already in line {earlier}", hint="remove one of the two")
    seen[key] = where


def numbered(classes: Sequence[int] | Sequence[str]) -> Labels:
    """The classes, numbered from 0 without gaps in their order, int64 [n]."""
    return np.unique(np.asarray(classes), return_inverse=True)[1].reshape(-1).astype(np.int64)
