"""A cache of exported and compiled networks, with digests of their inputs as keys."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, remove_folder, sha256, storage_errors
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.file_names import FileName, Sha256

LIMIT_BYTES = 2 * 1024**3
_INDEX = "files.json"
_KEY = re.compile(r"[0-9a-f]{32}")
_PARTIAL = ".partial-"
_IN_USE_S = 3600  # no process uses an entry for longer than this after finding it
_ABANDONED_S = 24 * 3600  # older partial entries are from a killed process, because no build takes that long


class BuildCache:
    """Folders of files. The key of a folder is everything that its files depend on.

    An entry that does not match its own hashes is made again. If the cache is larger than ``limit``, the least recently
    used entries are deleted, except those that this object returned or that were used in the last hour, as another
    process may use them. If the folder cannot be written, a temporary folder replaces it.

    Args:
        folder: Folder of the entries.
        limit: Largest size of the cache, bytes.
    """

    def __init__(self, folder: Path, *, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self._in_use: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            self._temporary = TemporaryFolder("export")  # it is removed with this object
            folder = self._temporary.path
        self.folder = folder

    def get(self, parts: Mapping[str, object], make: Callable[[Path], tuple[str, ...]]) -> tuple[Path, tuple[str, ...]]:
        """The entry for these parts. It is made if it does not exist.

        Args:
            parts: Everything that the files depend on, as JSON values.
            make: Writes files into an empty folder or its subfolders, and returns the names of those that are deployed.

        Returns:
            The folder of the entry, and the names.

        Raises:
            StorageError: the disk is full.
        """
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        place = self.folder / key[:32]
        self._in_use.add(place)
        names = _read_names(place)
        if names is not None:
            with suppress(OSError):
                os.utime(place)
            return place, names
        with storage_errors(place):
            partial = self.folder / f"{_PARTIAL}{secrets.token_hex(6)}"
            try:
                partial.mkdir()
                names = make(partial)
                hashes = {file.relative_to(partial).as_posix(): sha256(file) for file in _files(partial)}
                (partial / _INDEX).write_text(json.dumps({"names": names, "sha256": hashes}), encoding="utf-8")
                _move(partial, place)
            finally:
                remove_folder(partial)
        self._trim()
        return place, names

    def _trim(self) -> None:
        entries = []
        for entry in self.folder.iterdir():  # other files in the folder are kept
            with suppress(OSError):
                modified = entry.stat().st_mtime
                if _KEY.fullmatch(entry.name):
                    entries.append((modified, sum(file.stat().st_size for file in _files(entry)), entry))
                elif entry.name.startswith(_PARTIAL) and time.time() - modified > _ABANDONED_S:
                    shutil.rmtree(entry, ignore_errors=True)
        total = sum(size for _, size, _ in entries)
        for modified, size, entry in sorted(entries):
            if total <= self.limit or time.time() - modified < _IN_USE_S:
                return
            if entry not in self._in_use:
                shutil.rmtree(entry, ignore_errors=True)
                total -= size


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document of an entry: the names of the deployed files, and the hashes of all files by their names."""

    names: Annotated[tuple[FileName, ...], msgspec.Meta(min_length=1)]
    sha256: dict[FileName, Sha256]


def _move(partial: Path, place: Path) -> None:
    """Move an entry to its place, unless another process has made the same entry and may be using it."""
    if _read_names(place) is None:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            with suppress(IsADirectoryError, PermissionError):  # another process has made it just now
                place.unlink(missing_ok=True)
        try:
            partial.rename(place)
        except OSError:
            if _read_names(place) is None:
                raise


def _read_names(place: Path) -> tuple[str, ...] | None:
    """The names of an entry's files, or None if the entry is missing or damaged."""
    try:
        index = decode_json(read_bytes(_regular(place, _INDEX), at_most=SETTINGS_BYTES), _Index)
        files = {_regular(place, name): digest for name, digest in index.sha256.items()}
        if set(index.names) <= set(index.sha256) and all(sha256(file) == digest for file, digest in files.items()):
            return index.names
    except (OSError, InvalidInput, msgspec.DecodeError):
        pass
    return None


def _regular(place: Path, name: str) -> Path:
    """A file of an entry; raises OSError if it is missing, not a regular file, or reached by a link."""
    file = place / name
    if not stat.S_ISREG(file.lstat().st_mode) or file.resolve() != place.parent.resolve() / place.name / name:
        raise OSError(errno.EINVAL, "not a regular file of the entry")
    return file


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
