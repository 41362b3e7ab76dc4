"""A content-addressed cache of exported and compiled networks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from prunnet_export._files import sha256, storage_errors

LIMIT_BYTES = 2 * 1024**3
_INDEX = "files.json"
_KEY = re.compile(r"[0-9a-f]{32}")
_PARTIAL = ".partial-"
_IN_USE_S = 3600  # no process takes longer from finding an entry to its last use of it
_ABANDONED_S = 24 * 3600  # what a killed process left; no build takes that long


class BuildCache:
    """Folders of files, found by everything that they depend on.

    An entry that does not match its own hashes is made again; the least recently used ones go when the whole
    is larger than ``limit``, but none that this object handed out, and none that was used in the last hour, perhaps
    by another process. Where the folder cannot be written, a temporary one serves this process.

    Args:
        folder: Where entries are kept.
        limit: Bytes.
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
        """The entry for these parts, made at most once.

        Args:
            parts: Everything that the files depend on; JSON values.
            make: Writes files into an empty folder, in folders of their own where it likes, and returns the names of
                those that are deployed.

        Returns:
            The entry's folder and the names.

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
            partial = Path(tempfile.mkdtemp(dir=self.folder, prefix=_PARTIAL))
            try:
                names = make(partial)
                hashes = {file.relative_to(partial).as_posix(): sha256(file) for file in _files(partial)}
                (partial / _INDEX).write_text(json.dumps({"names": names, "sha256": hashes}), encoding="utf-8")
                _move(partial, place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        self._trim()
        return place, names

    def _trim(self) -> None:
        entries = []
        for entry in self.folder.iterdir():  # others keep things here too: they are left alone
            with suppress(OSError):
                modified = entry.stat().st_mtime
                if _KEY.fullmatch(entry.name):
                    entries.append((modified, sum(file.stat().st_size for file in _files(entry)), entry))
                elif entry.name.startswith(_PARTIAL) and time.time() - modified > _ABANDONED_S:
                    shutil.rmtree(entry, ignore_errors=True)
        total = sum(size for _, size, _ in entries)
        for modified, size, entry in sorted(entries):
            if total <= self.limit or time.time() - modified < _IN_USE_S:  # perhaps by another process
                return
            if entry not in self._in_use:
                shutil.rmtree(entry, ignore_errors=True)
                total -= size


def _move(partial: Path, place: Path) -> None:
    """Put an entry in its place, unless another process made the same one meanwhile and may be running from it."""
    if _read_names(place) is None:
        shutil.rmtree(place, ignore_errors=True)
        try:
            partial.rename(place)
        except OSError:
            if _read_names(place) is None:
                raise


def _read_names(place: Path) -> tuple[str, ...] | None:
    """The names of an entry's files, or None where it is missing or damaged."""
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
