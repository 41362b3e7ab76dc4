"""Galleries: the vectors that queries are compared with, in memory, in a file or in a database."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._files import replace_file
from prunnet_export.artifact import GalleryEntry
from prunnet_export.datasets import Labels
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.galleries import DatabaseRows
from prunnet_export.relevance import Indices
from prunnet_export.vectors import Names, StoredVectors, lengths, nearest

KEPT_WHOLE = 10_000  # an artifact holds a gallery file of at most so many vectors


@dataclass(frozen=True, eq=False)
class Gallery:
    """A gallery.

    Attributes:
        vectors: m vectors of the length p.
        entry: Facts about them, for the manifest.
        labels: m labels, integers or names of classes; None if they are not known.
        names: m names of images, relative to their data set; None if they are not known.
    """

    vectors: StoredVectors | Embeddings
    entry: GalleryEntry
    labels: npt.NDArray[Any] | None = None
    names: Names | None = None

    @classmethod
    def in_memory(cls, embeddings: Embeddings, *, labels: npt.NDArray[Any] | None = None, **facts: Any) -> Gallery:
        """A gallery of embeddings float32 [m, p]; further fields of its entry are keywords."""
        count, dim = embeddings.shape
        known = {
            "count": count,
            "dim": dim,
            "stored": "float32",
            "metric": "cosine",
            "unit": lengths([(0, embeddings)]).are_unit,
        }
        entry = GalleryEntry(**{**known, **facts})
        return cls(embeddings, entry, labels)

    @property
    def is_kept_whole(self) -> bool:
        """Whether an artifact holds all of it: it is in memory, or a small file. A database searches itself."""
        if self._database is not None:
            return False
        return isinstance(self.vectors, np.ndarray) or self.entry.count <= KEPT_WHOLE

    @property
    def embeddings(self) -> Embeddings:
        """All vectors, float32 [m, p]."""
        return self.vectors if isinstance(self.vectors, np.ndarray) else self.vectors.rows(0, self.entry.count)

    def take(self, rows: Indices) -> Embeddings:
        """Some vectors, float32 [k, p]."""
        return self.vectors[rows] if isinstance(self.vectors, np.ndarray) else self.vectors.take(rows)

    def nearest(self, queries: Embeddings, count: int) -> Indices:
        """The rows nearest to each query, int64 [n, count]. A gallery in a database is searched by the database.

        Args:
            queries: float32 [n, p].
            count: How many.
        """
        if self._database is not None:
            return self._database.nearest(queries, count)
        return nearest(queries, self.vectors, count, self.entry.metric).indices

    @property
    def _database(self) -> DatabaseRows | None:
        source = None if isinstance(self.vectors, np.ndarray) else self.vectors.source
        return source if isinstance(source, DatabaseRows) else None


def save_gallery(
    file: Path, embeddings: Embeddings, *, labels: Labels, network: str, **more: npt.NDArray[Any] | None
) -> None:
    """Write embeddings of a dense network as ``.npz``, with labels and the SHA-256 of the network's weights.

    Args:
        file: The file.
        embeddings: float32 [m, d].
        labels: int64 [m].
        network: The SHA-256.
        **more: Further arrays; one that is None is left out.

    Raises:
        StorageError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    kept = {name: array for name, array in more.items() if array is not None}
    np.savez(buffer, allow_pickle=False, embeddings=embeddings, labels=labels, network=np.array(network), **kept)
    replace_file(file, buffer.getvalue())
