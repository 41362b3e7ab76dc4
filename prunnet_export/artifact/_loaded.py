"""Embedding images with an artifact, on a device without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._errors import InvalidInput, StorageError, VerificationFailed
from prunnet_export._stored_paths import check_utf8
from prunnet_export.artifact._files import chosen_model_files, inside, read_manifest, verify_files
from prunnet_export.artifact._held import held
from prunnet_export.artifact._manifest import Manifest
from prunnet_export.preprocessing import ImageLike
from prunnet_export.runtimes import Model, Session, find_runtime

_BATCH = 32  # images per inference of an artifact that was measured with one


class LoadedArtifact:
    """An artifact that is ready to embed images; made by :func:`load`.

    Attributes:
        folder: Folder of the artifact.
        manifest: Manifest of the artifact.
    """

    def __init__(self, folder: Path, manifest: Manifest, session: Session, *, threads: int | None) -> None:
        self.folder = folder
        self.manifest = manifest
        self._session = session
        self._threads = threads

    def __repr__(self) -> str:
        rejected = ", allow_rejected=True" if self.manifest.status == "rejected" else ""
        return f"load({str(self.folder)!r}, threads={self._threads!r}{rejected})"

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.manifest.network.embedding_dim

    def embed(self, images: Sequence[ImageLike], batch_size: int | None = None) -> npt.NDArray[np.float32]:
        """Embeddings of images, to be matched against a gallery of the teacher, as the manifest's verification does.

        Args:
            images: A list of paths, file contents, PIL images, or uint8 arrays [height, width, 3] in RGB or
                [height, width]. Give one image as a list of one.
            batch_size: Images per inference, if the model has no fixed batch size. None takes the batch size that the
                artifact was measured with if that is more than 1, else 32.

        Returns:
            float32 [n, dim], rows of unit length, in the order of the images.

        Raises:
            InvalidInput: an image cannot be read; the message names it.
        """
        # A single array could also be a batch of images, and a string a list of letters.
        if isinstance(images, str | bytes | Path | Image.Image | np.ndarray) or not isinstance(images, Sequence):
            raise InvalidInput(
                f"embed() takes a list of images, not one {type(images).__name__}",
                hint="embed([image]), or embed(list(images)) for an array of several",
            )
        if batch_size is None:
            measured = self.manifest.latency.batch
            batch_size = measured if measured > 1 else _BATCH
        if batch_size < 1:
            raise InvalidInput(f"batch size {batch_size}", hint="give 1 or more")
        embeddings = np.empty((len(images), self.dim), np.float32)
        size = self._session.shape.batch or batch_size
        for start in range(0, len(images), size):
            batch = self._inputs(images[start : start + size], start)
            embeddings[start : start + size] = self._session.run_some(batch)
        return embeddings

    def _inputs(self, images: Sequence[ImageLike], start: int) -> npt.NDArray[np.float32]:
        steps = self.manifest.preprocessing
        named = ((image, f"image {index}") for index, image in enumerate(images, start))
        return np.stack([steps.query_input(image, name=name) for image, name in named])


def load(
    folder: str | Path, *, threads: int | None = None, check_hashes: bool = True, allow_rejected: bool = False
) -> LoadedArtifact:
    """Check an artifact and load it with its runtime.

    Args:
        folder: A folder that ``prunnet-export`` wrote.
        threads: Intra-operator threads; None leaves it to the engine.
        check_hashes: Whether to compare every file with the manifest first.
        allow_rejected: Whether to load an artifact that a gate rejected.

    Raises:
        InvalidInput: the folder is not an artifact, its path is not UTF-8, or the artifact is damaged.
        VerificationFailed: a gate rejected the artifact.
        MissingExtra: its engine is not installed; the hint says how to install it.
        UnknownName: its engine is not known on this machine.
    """
    folder = Path(folder)
    _check_status(folder, read_manifest(folder), allow_rejected=allow_rejected)
    try:
        # Another process may replace the artifact. The engine has read or mapped the files when the copy is removed.
        with held(folder, check_hashes=check_hashes, needed=chosen_model_files) as kept:
            manifest = kept.manifest
            _check_status(folder, manifest, allow_rejected=allow_rejected)
            session = _open(kept.folder, manifest, threads)
    except StorageError:  # a device may have no place for a copy
        manifest = read_manifest(folder)
        if check_hashes:
            verify_files(folder, manifest)
        session = _open(folder, manifest, threads)
    _check_shape(folder, manifest, session)
    return LoadedArtifact(folder, manifest, session, threads=threads)


def _check_status(folder: Path, manifest: Manifest, *, allow_rejected: bool) -> None:
    if manifest.status == "rejected" and not allow_rejected:
        raise VerificationFailed(
            f"{folder} was rejected: {'; '.join(manifest.reasons)}",
            hint="export again, or load it with allow_rejected=True to look at it",
        )


def _open(folder: Path, manifest: Manifest, threads: int | None) -> Session:
    model = Model(inside(folder, manifest.entry), manifest.runtime.name, manifest.subnetwork.precision)
    check_utf8(model.file)
    return find_runtime(model.runtime).open(model, threads=threads)


def _check_shape(folder: Path, manifest: Manifest, session: Session) -> None:
    shape, size, dim = session.shape, manifest.preprocessing.size, manifest.network.embedding_dim
    if (shape.height, shape.width, shape.dim) != (*size, dim):
        raise InvalidInput(
            f"{folder}: the model maps {shape.height} x {shape.width} pixels to {shape.dim} numbers,"
            f" the manifest says {size[0]} x {size[1]} to {dim}",
            hint="the files are from two artifacts; export again",
        )
