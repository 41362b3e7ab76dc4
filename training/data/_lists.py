"""Reading text files that list images.

``where`` is the place of a line, ``FILE:NUMBER``. An error in a line raises InvalidInput, whose message begins with the
place. A file that cannot be read raises StorageError.
"""

from __future__ import annotations

import codecs
import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import open_regular, read_limited
from prunnet_export._limits import LIST_BYTES
from prunnet_export.datasets import Labels


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, without blank lines at the end."""
    try:
        with open_regular(file) as opened:
            content = read_limited(opened, file, at_most=LIST_BYTES).removeprefix(codecs.BOM_UTF8)
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
    """The place and the fields of each line; white space separates the fields.

    Args:
        file: The list.
        columns: Names of the fields.
        first: Number of the first line to read.
        header: Whether this line has the names of the columns.
        key: The column in which every value must be unique.
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
            check_unique(where, fields[columns.index(key)], seen)
        yield where, fields


def checked_path(where: str, text: str) -> str:
    """Check that a path is relative and stays inside of the data set; returns it in its shortest form."""
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise InvalidInput(f"{where}: {text[:80]!r} lies outside of the data set", hint="paths are relative to it")
    return posixpath.normpath(text)


def find_image(where: str, name: str, folders: Sequence[Path]) -> Path:
    """The image with this name in the first folder that has it.

    A system may have stored an accent in another Unicode form than the list, so both forms are tried.
    """
    name = checked_path(where, name)
    for spelling in dict.fromkeys((name, normalize("NFC", name), normalize("NFD", name))):
        for folder in folders:
            if os.path.isfile(folder / spelling):  # noqa: PTH113 - twice as fast as Path.is_file, fifty thousand times
                return folder / spelling
    places = " or ".join(str(folder) for folder in folders)
    raise InvalidInput(f"{where}: {name} does not exist", hint=f"unpack the images into {places}")


def integer(where: str, text: str, what: str) -> int:
    """An integer of at most 18 digits."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:  # noqa: PLR2004 - what int64 holds
        raise InvalidInput(f"{where}: {text[:40]!r} is no {what}", hint="it has to be a whole number")
    return int(text)


def check_unique(where: str, key: str, seen: dict[str, str]) -> None:
    """Add a key and its place to ``seen``; raises InvalidInput with both places if it is already there."""
    if key in seen:
        earlier = seen[key].rpartition(":")[2]
        raise InvalidInput(f"{where}: {key} is already in line {earlier}", hint="remove one of the two")
    seen[key] = where


def number_classes(classes: Sequence[int] | Sequence[str]) -> Labels:
    """The number of each class, int64 [n]: the sorted classes are numbered from 0 without gaps."""
    return np.unique(np.asarray(classes), return_inverse=True)[1].reshape(-1).astype(np.int64)
