"""The reference of a verification: query images, the teacher's embeddings of them, and the gallery or rows of it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export.artifact import GalleryEntry
from prunnet_export.evaluating._images import Embeddings, encoded_pixels
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Indices, Relevance, relevance_from_arrays
from prunnet_export.vectors import read_arrays

_RANK = 2


@dataclass(frozen=True)
class Reference:
    """The images and embeddings that an artifact is verified against.

    The artifact contains it as ``verification.npz``, so that it can be verified again without a data set. Embedding
    images on a device does not need that file.

    Attributes:
        network: SHA-256 of the network's weights.
        source: Name of the data set.
        images: n query images, each as the bytes of an image file.
        teacher_queries: float32 [n, d], the teacher's embeddings of the query images. The teacher is the dense network,
            or the model that made a gallery.
        subnetwork_queries: float32 [n, d], the torch subnetwork's embeddings of the query images.
        gallery: float32 [m, p], the teacher's embeddings of the gallery, p <= d.
        entry: The facts of the whole gallery.
        relevance: Relevance of m gallery images to n queries. None, or without relevant images, if it is not known.
        protocol: The figures of the data set.
        rows: int64 [m], ascending: the places of these rows in the whole gallery; None if they are the whole gallery.
        pixels: Whether the images are resized and cropped, so that the artifact does not hold the original files.
    """

    network: str
    source: str
    images: tuple[bytes, ...]
    teacher_queries: Embeddings
    subnetwork_queries: Embeddings
    gallery: Embeddings
    entry: GalleryEntry
    relevance: Relevance | None
    protocol: Protocol = field(default_factory=Protocol)
    rows: Indices | None = None
    pixels: bool = False

    def without_files(self, preprocessing: Preprocessing) -> Reference:
        """The reference with the pixels of the images at the size of the input, and not the original files."""
        return replace(self, images=tuple(encoded_pixels(image, preprocessing) for image in self.images), pixels=True)


def save_reference(reference: Reference, file: Path) -> None:
    """Write a reference.

    Raises:
        StorageError: the disk is full or read-only.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "network": np.array(reference.network),
        "source": np.array(reference.source),
        "bytes": np.frombuffer(b"".join(reference.images), np.uint8),
        "lengths": np.array([len(image) for image in reference.images], np.int64),
        "teacher_queries": reference.teacher_queries,
        "subnetwork_queries": reference.subnetwork_queries,
        "gallery": reference.gallery.astype(np.float16 if reference.entry.stored == "float16" else np.float32),
        "entry": np.array(msgspec.json.encode(reference.entry).decode()),
        "protocol": np.array(msgspec.json.encode(reference.protocol).decode()),
    }
    if reference.rows is not None:
        arrays["rows"] = reference.rows
    if reference.pixels:
        arrays["pixels"] = np.array(True)  # a value, not an option
    if reference.relevance is not None:
        arrays |= reference.relevance.arrays()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    replace_file(file, buffer.getvalue())


def load_reference(file: Path) -> Reference:
    """Read a reference; no code in the file is executed.

    Raises:
        InvalidInput: it is missing, corrupt, or its parts do not fit together.
    """
    hint = "export the artifact again"
    if not file.is_file():
        raise InvalidInput(f"{file} is missing", hint="it is needed to verify again; " + hint)
    arrays = read_arrays(file, what="a verification reference", hint=hint)
    try:
        lengths = arrays["lengths"].astype(np.int64)
        ends = np.cumsum(lengths)
        joined = arrays["bytes"].tobytes()
        gallery = arrays["gallery"].astype(np.float32, casting="safe")
        reference = Reference(
            network=str(arrays["network"]),
            source=str(arrays["source"]),
            images=tuple(joined[end - length : end] for end, length in zip(ends, lengths, strict=True)),
            teacher_queries=arrays["teacher_queries"].astype(np.float32, casting="safe"),
            subnetwork_queries=arrays["subnetwork_queries"].astype(np.float32, casting="safe"),
            gallery=gallery,
            entry=msgspec.json.decode(str(arrays["entry"]), type=GalleryEntry),
            relevance=relevance_from_arrays(arrays, n_gallery=len(gallery)),
            protocol=msgspec.json.decode(str(arrays["protocol"]), type=Protocol),
            rows=arrays["rows"].astype(np.int64, casting="safe") if "rows" in arrays else None,
            pixels="pixels" in arrays and bool(arrays["pixels"].astype(np.bool_, casting="safe")),
        )
    except (KeyError, ValueError, TypeError, msgspec.MsgspecError, InvalidInput) as error:
        raise InvalidInput(f"{file} is not a verification reference ({error})", hint=hint) from None
    if not _fits(reference, lengths, len(joined)):
        raise InvalidInput(f"{file}: its parts do not fit together", hint=hint)
    return reference


def _fits(reference: Reference, lengths: npt.NDArray[np.int64], n_bytes: int) -> bool:
    n, shape = len(reference.images), reference.gallery.shape
    return (
        n >= 2  # noqa: PLR2004  # a spread needs two images
        and int(lengths.min()) >= 0
        and int(lengths.sum()) == n_bytes
        and reference.teacher_queries.ndim == len(shape) == _RANK
        and reference.teacher_queries.shape == reference.subnetwork_queries.shape
        and len(reference.teacher_queries) == n
        and reference.teacher_queries.shape[1] >= shape[1] == reference.entry.dim
        and _are_rows(reference.rows, shape[0], reference.entry.count)
        and (reference.relevance is None or reference.relevance.shape == (n, shape[0]))
    )


def _are_rows(rows: Indices | None, kept: int, count: int) -> bool:
    """Whether ``kept`` rows of a gallery of ``count`` are the whole of it, or rows in ascending order."""
    if rows is None:
        return kept == count
    return rows.shape == (kept,) and bool((np.diff(rows, prepend=-1, append=count) > 0).all())
