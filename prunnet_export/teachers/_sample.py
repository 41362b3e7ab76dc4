"""The teacher's vectors that travel with a network: of its queries, and of some training images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export.vectors import read_arrays

LEAST_HELD_OUT = 20  # images that a verification needs; of fewer, an interval says little
_RANK = 2


@dataclass(frozen=True, eq=False)
class TeacherSample:
    """Some images by name, and the teacher's vectors of them.

    Attributes:
        names: n names, relative to the folder of the images.
        embeddings: float32 [n, d], as the teacher gave them; they need not be unit vectors.
        is_query: bool [n]; true for images that training did not see, false for training images.
        image_sha256: n SHA-256 sums of the encoded images, to notice images that changed since.
    """

    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    is_query: npt.NDArray[np.bool_]
    image_sha256: tuple[str, ...]

    @property
    def dim(self) -> int:
        """The length of the teacher's vectors."""
        return int(self.embeddings.shape[1])

    def names_of(self, *, queries: bool) -> frozenset[str]:
        """The names of the queries, or those of the training images."""
        pairs = zip(self.names, self.is_query.tolist(), strict=True)
        return frozenset(name for name, is_query in pairs if is_query == queries)

    def part(self, rows: npt.NDArray[np.int64]) -> TeacherSample:
        """The sample with only some of its images, int64 [k]."""
        names, hashes = (tuple(these[row] for row in rows.tolist()) for these in (self.names, self.image_sha256))
        return TeacherSample(names, self.embeddings[rows], self.is_query[rows], hashes)


def save_sample(sample: TeacherSample, file: Path) -> None:
    """Write a sample as ``.npz``. It has ``names`` and ``embeddings``, so it is a file of vectors too.

    Raises:
        StorageError: the disk is full or read-only.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "names": np.array(sample.names, np.str_),
        "embeddings": sample.embeddings,
        "is_query": sample.is_query,
        "image_sha256": np.array(sample.image_sha256, np.str_),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    replace_file(file, buffer.getvalue())


def load_sample(file: Path) -> TeacherSample:
    """Read a sample; no code in the file is executed.

    Raises:
        InvalidInput: it is missing, corrupt, not finite, or its parts do not fit together.
    """
    hint = "copy the whole folder of the network again"
    if not file.is_file():
        raise InvalidInput(f"{file} is missing", hint=hint)
    arrays = read_arrays(file, what="a sample of a teacher's vectors", hint=hint)
    try:
        names, hashes = (tuple(map(str, arrays[name].tolist())) for name in ("names", "image_sha256"))
        embeddings = arrays["embeddings"].astype(np.float32, casting="same_kind")
        is_query = arrays["is_query"]
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{file} is not a sample of a teacher's vectors ({error})", hint=hint) from None
    n = len(names)
    fits = embeddings.ndim == _RANK and len(embeddings) == len(hashes) == n == len(set(names)) > 0
    if not fits or is_query.dtype != np.bool_ or is_query.shape != (n,):
        raise InvalidInput(f"{file}: its parts do not fit together", hint=hint)
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1) | ~embeddings.any(axis=1))
    if len(bad):
        raise InvalidInput(f"{file}: the vector of {names[bad[0]]} is zero or not finite", hint=hint)
    return TeacherSample(names, embeddings, is_query, hashes)
