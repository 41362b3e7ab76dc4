"""Text files that list images: read line by line, each line known by its place."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.datasets import Labels

Key = TypeVar("Key", bound=Hashable)


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, without blank ones at its end.

    Raises:
        InvalidInput: it is not UTF-8 text; the message names the line.
        StorageError: it cannot be read.
    """
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
) -> list[tuple[str, list[str]]]:
    """The fields of each line, white space between them, and where the line is.

    Args:
        file: The list.
        columns: What the fields are; as many as there are.
        first: The line to begin with.
        header: The line before the rows holds these names.
        key: The column in which no two rows are equal.

    Raises:
        InvalidInput: a line has another number of fields, a key is there twice, or the header is another one; the
            message names the line.
        StorageError: the file cannot be read.
    """
    lines = [(number, line.split()) for number, line in enumerate(read_lines(file), 1)][first - 1 :]
    if header and lines.pop(0)[1] != list(columns):
        raise InvalidInput(f"{file}:{first}: no header line", hint=f"line {first} is {' '.join(columns)!r}")
    for number, fields in lines:
        if len(fields) != len(columns):
            raise InvalidInput(f"{file}:{number}: {len(fields)} fields", hint=f"a row is {' '.join(columns)!r}")
    rows = [(f"{file}:{number}", fields) for number, fields in lines]
    if key is not None:
        once((where, fields[columns.index(key)]) for where, fields in rows)
    return rows


def inside(where: str, text: str) -> str:
    """A relative path that stays inside of the data set, in its shortest spelling.

    Raises:
        InvalidInput: it leads outside; the message starts with ``where``.
    """
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise InvalidInput(f"{where}: {text[:80]!r} lies outside of the data set", hint="paths are relative to it")
    return posixpath.normpath(text)


def locate(where: str, name: str, folders: Sequence[Path]) -> Path:
    """The image of that name in the first folder that has it.

    Raises:
        InvalidInput: none has it, or the name leads outside of the data set; the message starts with ``where``.
    """
    name = inside(where, name)
    for folder in folders:
        if os.path.isfile(folder / name):  # noqa: PTH113 - twice as fast as Path.is_file, fifty thousand times
            return folder / name
    places = " or ".join(str(folder) for folder in folders)
    raise InvalidInput(f"{where}: {name} does not exist", hint=f"unpack the images into {places}")


def integer(where: str, text: str, what: str) -> int:
    """A number of at most 18 digits.

    Raises:
        InvalidInput: the text is something else; the message starts with ``where``.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:  # noqa: PLR2004 - what int64 holds
        raise InvalidInput(f"{where}: {text[:40]!r} is no {what}", hint="it has to be a whole number")
    return int(text)


def once(keys: Iterable[tuple[str, Key]]) -> None:
    """See that each key, given with its place, is there once.

    Raises:
        InvalidInput: one is there twice; the message names both places.
    """
    seen: dict[Key, str] = {}
    for where, key in keys:
        if key in seen:
            earlier = seen[key].rpartition(":")[2]
            raise InvalidInput(f"{where}: {key} is already in line {earlier}", hint="remove one of the two")
        seen[key] = where


def numbered(classes: Sequence[int] | Sequence[str]) -> Labels:
    """The classes, numbered from 0 without gaps in their order, int64 [n]."""
    return np.unique(np.asarray(classes), return_inverse=True)[1].reshape(-1).astype(np.int64)
