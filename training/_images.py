"""Which images a run is trained on, wherever they lie."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import evenly_spread
from prunnet_export.training._recipe import Recipe

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


def check_images(
    data: RetrievalData, recipe: Recipe, *, label_weight: float | None = None, images: int | None = None
) -> None:
    """Refuse images that a recipe cannot train on. A teacher may embed for hours, so this is asked before.

    Args:
        data: The data set.
        recipe: The recipe.
        label_weight: Weight of the labels beside a teacher; None if the run has no teacher and learns from labels only.
        images: Number of images to learn from; None if it is that of all training images.

    Raises:
        InvalidInput: there are no images, or no labels and the recipe needs them, or too few images for a batch; or a
            batch cannot be divided among the processes.
    """
    _ = recipe.micro_batch
    if len(data.train) == 0:
        raise InvalidInput(
            f"{data.name} has no images to train on", hint="it has only test images; train on another set"
        )
    if not data.has_labels and label_weight is None:
        raise InvalidInput(
            f"{data.name} has no labels to train with", hint="sort the images into a folder per class, or give --match"
        )
    if not data.has_labels and label_weight:
        raise InvalidInput(
            f"{data.name} has no labels for --label-weight",
            hint="leave --label-weight out, or sort the images into a folder per class",
        )
    images = len(data.train) if images is None else images
    if images < recipe.batch_size:
        raise InvalidInput(
            f"{images} training images do not fill one batch of {recipe.batch_size}", hint="lower --batch-size"
        )
