"""Vectors of a teacher that is known only by them, in the order of the images."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import InvalidInput
from prunnet_export._files import reading_errors, storage_errors
from prunnet_export._text import shown
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.network_config import CONFIG_FILE
from prunnet_export.teachers import RowFile
from prunnet_export.training._match import Match, join, match
from prunnet_export.vectors import StoredVectors, holds_vectors, identity_of, open_vectors

_CHUNK = 4096  # vectors in memory at once


def match_file(file: Path, split: ImageSplit, *, names: Path | None = None) -> Match:
    """What a run learns from a file of vectors.

    Args:
        file: The file, or the folder; see :func:`open_vectors`.
        split: The training images.
        names: The file with the names of an ``.npy``; None looks beside it.

    Raises:
        InvalidInput: the file has no names or a vector of none of the images; a vector is zero or not finite.
        StorageError: there is no room for a copy.
    """
    stored = open_vectors(file, names=names)
    if stored.names is None:
        raise InvalidInput(
            f"{file} does not say which image a vector belongs to", hint="add names: paths relative to the images"
        )
    name = shown(file.absolute().name)
    position = join(split.relative_names, stored.names, file=name)
    rows = _in_order(stored, position)
    return match(
        lambda chosen, _views: rows.read(chosen).view(np.float32),
        position >= 0,
        split,
        name=name,
        kind="vectors",
        sha256=identity_of(stored),
    )


def is_vector_file(spec: str) -> bool:
    """Whether a teacher is given by a file or a folder of vectors.

    Raises:
        InvalidInput: it cannot be read.
    """
    with reading_errors(Path(spec)):
        is_network = (Path(spec) / CONFIG_FILE).exists()  # its folder has files of vectors too
    return not is_network and holds_vectors(Path(spec))


def _in_order(stored: StoredVectors, position: Labels) -> RowFile:
    """The vectors, float32, in the order of the images, in a temporary file.

    Every batch needs vectors from all over the file, which Parquet and compressed files cannot give fast.

    Args:
        stored: The vectors.
        position: The row in the file of each image's vector, int64 [n]; -1 if there is none. No two are the same.

    Raises:
        InvalidInput: a vector is zero or not finite, or the file does not give all of its vectors.
    """
    folder, has = cache_folder(), position >= 0
    row_of = np.full(stored.count, -1)
    row_of[position[has]] = np.flatnonzero(has)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:  # the open file outlives its name
            rows = RowFile(Path(temporary) / "rows", count=len(position), width=4 * stored.dim, create=True, write=True)
        count = 0
        for start, chunk in stored.chunks(_CHUNK):
            count += len(chunk)
            if count > stored.count:
                break
            stored.check_rows(chunk, start)
            wanted = row_of[start : start + len(chunk)]
            rows.write(wanted[wanted >= 0], np.ascontiguousarray(chunk[wanted >= 0]).view(np.uint8))
    if count != stored.count:  # a row that nobody wrote is zero
        raise InvalidInput(
            f"{stored.file} does not give the {stored.count} vectors that it announces", hint="copy it again"
        )
    return rows
