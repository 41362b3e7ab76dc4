"""Reading files, and replacing them so that a reader never sees a half-written one."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from shutil import copyfileobj, rmtree
from typing import BinaryIO

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._guarantees import sync
from prunnet_export._interrupts import postponed_interrupts

_HINTS = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EEXIST: "a part of the path is a file; choose another folder",
}

_BLOCK = 2**20
_TOKEN_BYTES = 6  # in the name of a temporary file

# Child processes start in the folder of the package. In the user's folder, Python could import the user's files.
PACKAGE_HOME = Path(__file__).parents[1]


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing to ``path`` into a StorageError."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"cannot write {path}: {reason.lower()}", hint=_HINTS.get(error.errno or 0, "check the path and the disk")
        ) from error


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error while reading ``path`` into an InvalidInput."""
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="check the path and its permissions") from None


def open_regular(file: str | os.PathLike[str], *, follow_links: bool = True) -> io.BufferedReader:
    """A regular file, opened for reading. A named pipe or a device is refused, because reading it may never end.

    Args:
        file: The file.
        follow_links: Whether the file itself may be a link. If not, opening one is an OSError.

    Raises:
        InvalidInput: it is no regular file, or the path holds a character that no path can have.
        OSError: it cannot be opened.
    """
    more = 0 if follow_links else getattr(os, "O_NOFOLLOW", 0)
    try:
        return io.BufferedReader(io.FileIO(file, "rb", opener=lambda name, flags: _open_regular(name, flags | more)))
    except ValueError as error:
        raise InvalidInput(f"{str(file)!r} is no path: {error}", hint="check the path") from None


def _open_regular(file: str | os.PathLike[str], flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    handle = os.open(file, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_regular(os.fstat(handle).st_mode, file)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_regular(mode: int, file: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # FileIO refuses a folder
        raise InvalidInput(f"{file} is no regular file", hint="give a file on the disk, not a pipe or a device")


def read_bytes(file: Path, *, at_most: int) -> bytes:
    """The contents of a regular file.

    Args:
        file: The file.
        at_most: The largest size that a file of this kind has, in bytes; see ``_limits.py``.

    Raises:
        InvalidInput: it cannot be read, is no regular file, or is larger.
    """
    with reading_errors(file), open_regular(file) as opened:
        return read_limited(opened, file, at_most=at_most)


def read_limited(opened: BinaryIO, file: Path, *, at_most: int) -> bytes:
    """The rest of an open file; raises InvalidInput if it is longer than ``at_most`` bytes."""
    size = os.fstat(opened.fileno()).st_size
    if size <= at_most:
        parts = [opened.read(size)]
        # A file of the kernel says that its size is 0, and another file may grow while it is read.
        while sum(map(len, parts)) <= at_most and (block := opened.read(_BLOCK)):
            parts.append(block)
        if sum(map(len, parts)) <= at_most:
            return b"".join(parts)
    limit = f"{at_most // 2**30} GiB" if at_most >= 2**30 else f"{at_most // 2**20} MiB"
    raise InvalidInput(f"{file} is larger than {limit}", hint="no file of this kind is so large; check the path")


def sha256(file: Path) -> str:
    """The SHA-256 of a regular file, hexadecimal.

    Raises:
        InvalidInput: it is no regular file.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(file) as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def replace_file(file: Path, content: bytes) -> None:
    """Write a file, and its folders, in one step: a reader sees the old contents or the new ones.

    Raises:
        StorageError: the disk is full, read-only, or no file can be written at this path.
    """
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(_TOKEN_BYTES)}")
        try:  # the name is known before the file exists, so an interrupt at any moment removes the file
            with temporary.open("xb") as opened:
                opened.write(content)
                opened.flush()
                sync(opened.fileno(), file.parent)
            temporary.replace(file)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def remove_leftovers(file: Path) -> None:
    """Remove what a process left that was killed while it replaced a file. No other process may write the file now.

    Raises:
        StorageError: a temporary file cannot be removed.
    """
    with storage_errors(file):
        for leftover in file.parent.glob(f".{escape(file.name)}.{2 * _TOKEN_BYTES * '[0-9a-f]'}"):
            leftover.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a temporary folder, if it exists. An interrupt does not leave a part of it behind; errors are ignored."""
    try:
        with postponed_interrupts():  # an interrupt within rmtree could become an OSError
            rmtree(folder, ignore_errors=True)
    except BaseException:  # the interrupt came before it could be postponed
        rmtree(folder, ignore_errors=True)
        raise


def copy_files(places: Mapping[Path, Path], *, inside: Path) -> None:
    """Copy regular files to new places in the folder ``inside``, and make their folders.

    Raises:
        OSError: the disk is full.
        InvalidInput: a source is no regular file, or a place is not in the folder.
    """
    home = inside.resolve()
    for source, place in places.items():
        if not Path(os.path.realpath(place)).is_relative_to(home):
            raise InvalidInput(f"{place} leads out of {inside}", hint="do not use these files")
        place.parent.mkdir(parents=True, exist_ok=True)
        with open_regular(source) as opened, place.open("wb") as made:
            copyfileobj(opened, made)
