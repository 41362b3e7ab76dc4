"""The networks of a comparison with peers: one ONNX file for each, and the galleries that they search."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunnet_export._files import replace_file, storage_errors
from prunnet_export.benchmarks.methods import Trained
from prunnet_export.benchmarks.peers._settings import has_own_dense
from prunnet_export.building import export_onnx
from prunnet_export.evaluating import Embeddings
from prunnet_export.vectors import read_arrays

GALLERY = "gallery.npy"


@dataclass(frozen=True)
class Networks:
    """A folder with the networks of each finished run.

    Attributes:
        folder: The folder.
        size: Height and width of the input image, pixels.
    """

    folder: Path
    size: tuple[int, int]

    def keep(self, method: str, seed: int, trained: Trained, gallery: Embeddings) -> None:
        """Write the networks of a run, and the gallery float32 [m, d] of its dense network.

        Raises:
            StorageError: the folder cannot be written.
        """
        folder = self._of(method, seed)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        [queries] = trained.queries.values()
        dense = {1.0: trained.dense} if has_own_dense(method) else {}
        for capacity, module in {**dense, **queries}.items():
            export_onnx(module, folder / _name(capacity), size=self.size)
        buffer = io.BytesIO()
        np.save(buffer, gallery)
        replace_file(folder / GALLERY, buffer.getvalue())

    def files(self, method: str, seed: int) -> dict[float, Path]:
        """The files of a run by asked capacity, the largest first; empty if the run was made without them."""
        files = {float(file.stem): file for file in self._of(method, seed).glob("*.onnx")}
        return dict(sorted(files.items(), reverse=True))

    def gallery(self, method: str, seed: int) -> Embeddings:
        """The gallery float32 [m, d] of a run.

        Raises:
            InvalidInput: the file is damaged.
        """
        file = self._of(method, seed) / GALLERY
        arrays = read_arrays(file, what="an array of embeddings", hint="remove the folder of the comparison")
        gallery: Embeddings = arrays["embeddings"]
        return gallery

    def _of(self, method: str, seed: int) -> Path:
        return self.folder / f"{method}-{seed}"


def _name(capacity: float) -> str:
    return f"{capacity:g}.onnx"
