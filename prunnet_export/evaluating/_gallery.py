"""Gallery files: a dense network's embeddings of gallery images, as a retrieval service stores them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export.datasets import Labels
from prunnet_export.vectors import read_arrays

_RANK = 2


@dataclass(frozen=True)
class Gallery:
    """A gallery.

    Attributes:
        embeddings: float32 [m, d], unit vectors.
        labels: int64 [m], or None.
        network: SHA-256 of the weights of the network that made it; None if the file does not contain it.
    """

    embeddings: npt.NDArray[np.float32]
    labels: Labels | None
    network: str | None


def save_gallery(gallery: Gallery, file: Path) -> None:
    """Write a gallery as ``.npz`` with ``embeddings``, ``labels`` and ``network``.

    Raises:
        StorageError: the disk is full or read-only.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"embeddings": gallery.embeddings}
    if gallery.labels is not None:
        arrays["labels"] = gallery.labels
    if gallery.network is not None:
        arrays["network"] = np.array(gallery.network)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    replace_file(file, buffer.getvalue())


def load_gallery(file: Path, *, network: str, dim: int) -> Gallery:
    """Read a gallery: ``.npz`` as :func:`save_gallery` writes it, or ``.npy`` with only the embeddings.

    Args:
        file: The file; no code in it is executed.
        network: SHA-256 of the expected network's weights; compared if the file contains one.
        dim: Expected length of its embeddings.

    Raises:
        InvalidInput: it is corrupt, empty, not finite, of another network, or of another dimension.
    """
    hint = "write one with `prunnet-bench gallery`, or save embeddings as .npy"
    arrays = read_arrays(file, what="a gallery", hint=hint)
    try:
        embeddings = arrays["embeddings"].astype(np.float32, casting="same_kind")
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{file} is not a gallery ({error})", hint=hint) from None
    if embeddings.ndim != _RANK or len(embeddings) == 0:
        raise InvalidInput(f"{file}: embeddings have shape {embeddings.shape}", hint="expected [images, dimension]")
    if embeddings.shape[1] != dim:
        raise InvalidInput(
            f"{file}: embeddings have dimension {embeddings.shape[1]}, the network's have {dim}",
            hint="the gallery is of another network",
        )
    made_by = str(arrays["network"]) if "network" in arrays else None
    if made_by is not None and made_by != network:
        raise InvalidInput(
            f"{file} was made by network {made_by[:12]}, not {network[:12]}",
            hint="embed the gallery with this dense network",
        )
    lengths = np.linalg.norm(embeddings, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        raise InvalidInput(f"{file}: row {bad[0]} is zero or not finite", hint="remove it or embed that image again")
    labels = arrays.get("labels")
    if labels is not None and labels.shape != (len(embeddings),):
        raise InvalidInput(f"{file}: {labels.shape} labels for {len(embeddings)} embeddings", hint="one label an image")
    if labels is not None and labels.dtype.kind not in "iu":
        raise InvalidInput(f"{file}: the labels are {labels.dtype}, not integers", hint="number the classes")
    unit = (embeddings / lengths[:, None]).astype(np.float32)
    return Gallery(unit, None if labels is None else labels.astype(np.int64), made_by)
