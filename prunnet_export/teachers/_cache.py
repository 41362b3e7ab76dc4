"""The vectors of a teacher on the disk: they are computed once, and a killed run continues where it was."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from prunnet_export._documents import decode_json
from prunnet_export._errors import StorageError
from prunnet_export._files import read_bytes, replace_file, storage_errors
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._numbers import significant
from prunnet_export.datasets import ImageSplit
from prunnet_export.teachers._cache_key import CacheKey
from prunnet_export.teachers._row_file import Bytes, RowFile, Rows
from prunnet_export.teachers._teacher import Floats

_META = "meta.json"
_HASH = 32  # bytes of a SHA-256
_STAMP = 16  # it divides the size of a page, so that a crash cannot leave half a stamp
_FLOAT = 4
_CHUNK = 2**16  # rows that are looked at together


@dataclass(frozen=True, eq=False)
class Block:
    """Some images and their vectors.

    Attributes:
        indices: int64 [k], the images.
        vectors: float32 [k, views, d].
        hashes: uint8 [k, 32], the SHA-256 of each encoded image.
        stamps: uint8 [k, 16], see :func:`stamp_of`.
    """

    indices: Rows
    vectors: Floats
    hashes: Bytes
    stamps: Bytes


class CacheFiles:
    """The files of a cache.

    ``vectors`` has float32 [views, n, d], ``hashes`` uint8 [n, 32] and ``stamps`` uint8 [n, 16]. A stamp is written
    after the vectors of its image are on the disk. A stamp of zeros means that the image has no vectors yet.

    Args:
        folder: The folder of this key.
        key: The key; None reads it from the folder, which is then only read.

    Raises:
        StorageError: the folder cannot be written, or its files are damaged.
    """

    def __init__(self, folder: Path, key: CacheKey | None = None) -> None:
        self.folder = folder
        write, create = key is not None, key is not None and not (folder / _META).is_file()
        self.key = key or _read_key(folder)
        count, views = self.key.count, self.key.views
        widths = {
            "vectors": (views * count, self.key.dim * _FLOAT),
            "hashes": (count, _HASH),
            "stamps": (count, _STAMP),
        }
        self._files: dict[str, RowFile] = {}
        with storage_errors(folder):
            if write:
                folder.mkdir(parents=True, exist_ok=True)
            try:
                for name, (rows, width) in widths.items():
                    self._files[name] = RowFile(folder / name, count=rows, width=width, create=create, write=write)
            except BaseException:
                self.close()
                raise
        if create:
            replace_file(folder / _META, msgspec.json.format(msgspec.json.encode(self.key)) + b"\n")

    def check_space(self) -> None:
        """Raise StorageError if the disk has no room for the vectors that are missing."""
        missing = 0
        for start in range(0, self.key.count, _CHUNK):
            chunk = np.arange(start, min(start + _CHUNK, self.key.count))
            missing += int((~self._files["stamps"].read(chunk).any(axis=1)).sum())
        needed = missing * (self.key.views * self.key.dim * _FLOAT + _HASH + _STAMP)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise StorageError(
                f"the teacher's vectors need {_gigabytes(needed)}, and {self.folder} has {_gigabytes(free)} free",
                hint="free some space, or set PRUNNET_EXPORT_CACHE to a folder on another disk",
            )

    def pending(self, indices: Rows, split: ImageSplit) -> Rows:
        """The images among ``indices`` that have no vectors, or have changed since."""
        stored = self._files["stamps"].read(indices)
        has = stored.any(axis=1)
        now = np.zeros_like(stored)
        for row in np.flatnonzero(has):
            now[row] = stamp_of(split, int(indices[row]))
        changed = has & (stored != now).any(axis=1)
        if changed.any():
            # While the vectors of a changed image are written, no stamp may say that they are complete.
            with storage_errors(self.folder):
                self._files["stamps"].write(indices[changed], np.zeros((int(changed.sum()), _STAMP), np.uint8))
                self._files["stamps"].sync()
        pending: Rows = indices[~has | changed]
        return pending

    def write(self, block: Block) -> None:
        """Store a block.

        Raises:
            StorageError: the disk is full.
        """
        with storage_errors(self.folder):
            for view in range(self.key.views):
                content = np.ascontiguousarray(block.vectors[:, view]).view(np.uint8)
                self._files["vectors"].write(view * self.key.count + block.indices, content)
            self._files["hashes"].write(block.indices, block.hashes)
            self._files["vectors"].sync()
            self._files["hashes"].sync()
            self._files["stamps"].write(block.indices, block.stamps)
            self._files["stamps"].sync()

    def vectors(self, view: int, indices: Rows) -> Floats:
        """The vectors float32 [k, d] of one view."""
        return self._files["vectors"].read(view * self.key.count + indices).view(np.float32)

    def hashes(self, indices: Rows) -> Bytes:
        """The SHA-256 uint8 [k, 32] of encoded images."""
        return self._files["hashes"].read(indices)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}


def stamp_of(split: ImageSplit, index: int) -> Bytes:
    """The stamp of an image as uint8 [16]."""
    digest = hashlib.blake2b(split.stamp(index).encode("utf-8", "surrogateescape"), digest_size=_STAMP)
    return np.frombuffer(digest.digest(), np.uint8)


def _read_key(folder: Path) -> CacheKey:
    try:
        return decode_json(read_bytes(folder / _META, at_most=SETTINGS_BYTES), CacheKey)
    except msgspec.DecodeError:
        raise StorageError(f"{folder / _META} is damaged", hint=f"delete {folder}, then it is made again") from None


def _gigabytes(count: int) -> str:
    return f"{significant(count / 1e9)} GB"
