"""The reference of a verification: query images, and the dense network's embeddings of them and of the gallery."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Relevance, relevance_from_arrays
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
        dense_queries: float32 [n, d], the dense network's embeddings of the query images.
        subnetwork_queries: float32 [n, d], the torch subnetwork's embeddings of the query images.
        gallery: float32 [m, d], the dense network's embeddings of the gallery.
        relevance: Relevance of m gallery images to n queries; None if it is not known.
        protocol: The figures of the data set.
    """

    network: str
    source: str
    images: tuple[bytes, ...]
    dense_queries: Embeddings
    subnetwork_queries: Embeddings
    gallery: Embeddings
    relevance: Relevance | None
    protocol: Protocol = field(default_factory=Protocol)


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
        "dense_queries": reference.dense_queries,
        "subnetwork_queries": reference.subnetwork_queries,
        "gallery": reference.gallery,
        "protocol": np.array(msgspec.json.encode(reference.protocol).decode()),
    }
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
            dense_queries=arrays["dense_queries"].astype(np.float32, casting="safe"),
            subnetwork_queries=arrays["subnetwork_queries"].astype(np.float32, casting="safe"),
            gallery=gallery,
            relevance=relevance_from_arrays(arrays, n_gallery=len(gallery)),
            protocol=msgspec.json.decode(str(arrays["protocol"]), type=Protocol),
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
        and len(shape) == _RANK
        and reference.dense_queries.shape == reference.subnetwork_queries.shape == (n, shape[1])
        and (reference.relevance is None or reference.relevance.shape == (n, shape[0]))
    )
