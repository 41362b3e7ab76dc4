"""Calibration images: real images that give a quantiser the ranges of activations."""

from __future__ import annotations

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes._base import CompileInputs
from prunnet_export.runtimes._session import Batch

MAX_IMAGES = 300  # on the demo network, 100 images lowered the worst cosine by up to 0.01
MIN_IMAGES = 8
_RANK = 4


def calibration_images(inputs: CompileInputs | None) -> list[Batch]:
    """The first 300 calibration images, each float32 [1, 3, height, width] in 0..1.

    It raises InvalidInput if there are fewer than 8 images, or if one has another type, shape or range.
    """
    images: list[Batch] = []
    for batch in (inputs or CompileInputs()).images():
        _check(batch)
        images += [image[None] for image in batch[: MAX_IMAGES - len(images)]]
        if len(images) == MAX_IMAGES:
            break
    if len(images) < MIN_IMAGES:
        raise InvalidInput(
            f"{len(images)} calibration images; INT8 needs {MIN_IMAGES} or more",
            hint="add images to the train split; 300 are enough",
        )
    return images


def _check(batch: Batch) -> None:
    if batch.dtype != np.float32 or batch.ndim != _RANK or batch.shape[1] != 3:  # noqa: PLR2004  red, green, blue
        raise InvalidInput(
            f"a calibration batch is {batch.dtype} {list(batch.shape)}", hint="give float32 [n, 3, height, width]"
        )
    if not np.isfinite(batch).all():
        raise InvalidInput("a calibration image holds NaN or infinity", hint="check the data set")
    if batch.size and (batch.min() < 0 or batch.max() > 1):
        raise InvalidInput(
            f"a calibration image has values in {batch.min():g}..{batch.max():g}",
            hint="give values in 0..1; the network standardises them itself",
        )
