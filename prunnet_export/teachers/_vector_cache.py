"""Reading the vectors of a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export.teachers._cache import CacheFiles
from prunnet_export.teachers._teacher import Floats


class VectorCache:
    """The vectors of a teacher of all images of a split. They are read from the disk when they are asked for.

    Args:
        folder: A folder that :func:`teacher_vectors` filled.

    Attributes:
        folder: The folder.
        count: Number of images.
        dim: Length of a vector.
        views: Vectors of each image.

    Raises:
        StorageError: files are missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._files = CacheFiles(folder)
        key = self._files.key
        self.folder, self.count, self.dim, self.views = folder, key.count, key.dim, key.views

    def take(self, view: int, indices: npt.ArrayLike) -> Floats:
        """The vectors float32 [k, d] of some images, as the teacher gave them.

        Args:
            view: Number of the view; view 0 is the plain image.
            indices: k indices of images, in any order.

        Raises:
            IndexError: there is no such view or image.
        """
        rows = np.asarray(indices, np.int64)
        if not 0 <= view < self.views or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.count):
            raise IndexError(f"view {view} of {self.views}, images {rows} of {self.count}")
        return self._files.vectors(view, rows)

    def image_sha256(self, indices: npt.ArrayLike) -> list[str]:
        """The SHA-256 of each encoded image, hexadecimal.

        Raises:
            IndexError: there is no such image.
        """
        return [row.tobytes().hex() for row in self._files.hashes(np.asarray(indices, np.int64))]

    def close(self) -> None:
        """Close the files."""
        self._files.close()
