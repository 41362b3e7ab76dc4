"""A folder of files of vectors, read as one gallery. The order of the rows is that of the files' names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import reading_errors, sha256
from prunnet_export._text import printable
from prunnet_export.vectors._metrics import Vectors
from prunnet_export.vectors._names import Names
from prunnet_export.vectors._stored import Rows, StoredVectors

_ENDINGS = frozenset({".npy", ".npz", ".parquet", ".safetensors", ".faiss", ".index"})
KINDS = ".npy, .npz, .parquet or .safetensors files, FAISS indexes, or folders of them"
"""The files of vectors that are read, for messages."""
_OF = re.compile(r"-(\d+)-of-(\d+)(?=\.)")
_HINT = "a folder holds the files of one gallery: of one model, one form and one metric"


def shard_name(number: int, count: int) -> str:
    """The name of one of ``count`` files, from which a reader sees whether all are there."""
    return f"part-{number:05d}-of-{count:05d}.npz"


def has_ending(file: Path) -> bool:
    """Whether the name of a file ends as those of files of vectors do, in capitals or not."""
    return file.suffix.lower() in _ENDINGS


def shard_files(folder: Path) -> list[Path]:
    """The files of vectors in a folder, by their names; hidden files and lists of names are left out.

    Raises:
        InvalidInput: there are none, or their names ``-1-of-3`` say that some are missing or of another gallery.
    """
    with reading_errors(folder):
        files = sorted(one for one in folder.iterdir() if has_ending(one) and not one.name.startswith("."))
    if not files:
        known = ", ".join(sorted(_ENDINGS))
        raise InvalidInput(f"{folder} holds no files of vectors", hint=f"known: {known}")
    found = [match for file in files if (match := _OF.search(file.name))]
    if found:
        counts = {int(match[2]) for match in found}
        missing = sorted(set(range(max(counts))) - {int(match[1]) for match in found})
        if len(counts) > 1 or len(found) < len(files):
            raise InvalidInput(f"{folder} holds parts of several galleries", hint="remove those of the other gallery")
        if missing:
            raise InvalidInput(
                f"{folder}: {len(missing)} of {max(counts)} parts are missing, the first is number {missing[0]}",
                hint="repeat the command that wrote it; it makes the missing parts",
            )
    return files


def sha256_of(place: Path) -> str:
    """The SHA-256 of a file of vectors; of a folder that of its files' names and SHA-256.

    Raises:
        InvalidInput: it is no regular file.
        OSError: it cannot be read.
    """
    if not place.is_dir():
        return sha256(place)
    lines = (f"{file.name} {sha256(file)}\n" for file in shard_files(place))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def identity_of(vectors: StoredVectors) -> str:
    """The SHA-256 of vectors and of the names that they have. If the file holds both, it is that of the file.

    Raises:
        InvalidInput: the file cannot be read.
    """
    if not isinstance(vectors.file, Path):
        raise TypeError(f"{vectors.file} is no file")
    with reading_errors(vectors.file):
        whole = sha256_of(vectors.file)
    if vectors.names is None or not vectors.names_beside:
        return whole
    digest = hashlib.sha256(f"{whole}\n".encode())
    for name in vectors.names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def open_shards(folder: Path, opener: Callable[[Path], StoredVectors]) -> StoredVectors:
    """The vectors of all files of a folder.

    Args:
        folder: The folder.
        opener: Opens one file.

    Raises:
        InvalidInput: a file is damaged, or the files do not fit together.
    """
    parts = [opener(file) for file in shard_files(folder)]
    first = parts[0]
    for part in parts[1:]:
        for fact in ("dim", "stored", "metric", "network"):
            one, other = getattr(first, fact), getattr(part, fact)
            if one != other:
                raise InvalidInput(
                    f"{folder}: {fact} is {printable(str(one))} in {Path(str(first.file)).name} and"
                    f" {printable(str(other))} in {Path(str(part.file)).name}",
                    hint=_HINT,
                )
    count = sum(part.count for part in parts)
    names = [part.names for part in parts if part.names is not None]
    labels = [part.labels for part in parts if part.labels is not None]
    if len(names) not in {0, len(parts)} or len(labels) not in {0, len(parts)}:
        raise InvalidInput(f"{folder}: only some files have names, or labels", hint=_HINT)
    return StoredVectors(
        folder,
        count,
        first.dim,
        first.stored,
        _ShardRows(parts),
        Names(chain.from_iterable(names), folder) if names else None,
        _joined(labels, folder),
        first.metric,
        first.network,
        names_beside=any(part.names_beside for part in parts),
    )


def _joined(labels: Sequence[npt.NDArray[Any]], folder: Path) -> npt.NDArray[Any] | None:
    if len({part.dtype.kind for part in labels}) > 1:
        raise InvalidInput(f"{folder}: some labels are texts, and others are integers", hint=_HINT)
    return np.concatenate(labels) if labels else None


class _ShardRows(Rows):
    """The rows of several files, one file after the other."""

    def __init__(self, parts: Sequence[StoredVectors]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.count for part in parts)])

    def read(self, start: int, stop: int) -> Vectors:
        rows = [np.empty((0, self._parts[0].dim), np.float32)]
        for part, first in zip(self._parts, self._starts.tolist(), strict=False):
            if start < first + part.count and stop > first:
                rows.append(part.rows(max(start - first, 0), min(stop - first, part.count)))
        return np.concatenate(rows)

    def pick(self, indices: npt.NDArray[np.int64]) -> Vectors:
        rows = np.empty((len(indices), self._parts[0].dim), np.float32)
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            rows[mine] = self._parts[number].take(indices[mine] - self._starts[number])
        return rows

    def scan(self, count: int, size: int) -> Iterator[Vectors]:
        """All rows in parts of at most ``size``; a part ends with its file."""
        del count  # all of them
        for part in self._parts:
            yield from (rows for _, rows in part.chunks(size))
