"""Reading files, and replacing them so that a reader never sees a half-written one."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any

from prunnet_export._errors import InvalidInput, StorageError
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


def read_bytes(file: Path) -> bytes:
    """The contents of a file.

    Raises:
        InvalidInput: it cannot be read.
    """
    with reading_errors(file):
        return file.read_bytes()


def read_toml(file: Path, *, hint: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InvalidInput: it cannot be read or parsed.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", hint=hint) from None


def sha256(file: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def replace_file(file: Path, content: bytes) -> None:
    """Write a file, and its folders, in one step: a reader sees the old contents or the new ones.

    Raises:
        StorageError: the disk is full, read-only, or no file can be written at this path.
    """
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
        try:  # the name is known before the file exists, so an interrupt at any moment removes the file
            with temporary.open("xb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            temporary.replace(file)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def remove_folder(folder: Path) -> None:
    """Remove a temporary folder, if it exists. An interrupt does not leave a part of it behind; errors are ignored."""
    try:
        with postponed_interrupts():  # an interrupt within rmtree could become an OSError
            rmtree(folder, ignore_errors=True)
    except BaseException:  # the interrupt came before it could be postponed
        rmtree(folder, ignore_errors=True)
        raise


def copy_files(places: Mapping[Path, Path], *, inside: Path) -> None:
    """Copy files to new places in the folder ``inside``, and make their folders.

    Raises:
        OSError: the disk is full.
        InvalidInput: a place is not in the folder.
    """
    home = inside.resolve()
    for source, place in places.items():
        if not place.resolve().is_relative_to(home):
            raise InvalidInput(f"{place} leads out of {inside}", hint="do not use these files")
        place.parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, place)
