"""A cache of exported and compiled networks, with digests of their inputs as keys."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from prunnet_export._files import remove_folder, sha256, storage_errors

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
            folder = Path(tempfile.mkdtemp(prefix="prunnet-export-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
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


def _move(partial: Path, place: Path) -> None:
    """Move an entry to its place, unless another process has made the same entry and may be using it."""
    if _read_names(place) is None:
        shutil.rmtree(place, ignore_errors=True)
        try:
            partial.rename(place)
        except OSError:
            if _read_names(place) is None:
                raise


def _read_names(place: Path) -> tuple[str, ...] | None:
    """The names of an entry's files, or None if the entry is missing or damaged."""
    try:
        index = json.loads((place / _INDEX).read_text("utf-8"))
        names = tuple(index["names"])
        hashes = index["sha256"]
        if set(names) <= set(hashes) and all(sha256(place / name) == digest for name, digest in hashes.items()):
            return names
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
