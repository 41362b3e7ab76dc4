"""Which images a run is trained on, wherever they lie."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import evenly_spread

_LOOKED_AT = 64  # images of a split whose contents count


def images_digest(data: RetrievalData, *, whole: bool = False) -> str:
    """A SHA-256 of images: the names and labels of all, and the contents of some.

    It does not depend on where the images lie, when they were copied, and how their path is written. The images whose
    contents count are spread evenly, because reading all of a large set takes hours. One that cannot be read has none.

    Args:
        data: The data set.
        whole: Whether the query and gallery images count too, and not only the training images.
    """
    digest = hashlib.sha256(f"{data.flip} {data.has_labels}\n".encode())
    for split in (data.train, data.query, data.gallery) if whole else (data.train,):
        digest.update(f"{len(split)}\n".encode())
        for name in split.relative_names:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(split.labels.astype("<i8").tobytes())
        for index in evenly_spread(len(split), _LOOKED_AT).tolist():
            with suppress(InvalidInput):
                digest.update(hashlib.sha256(split.encoded(index)).digest())
    return digest.hexdigest()
