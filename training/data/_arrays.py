"""Images in one array in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit

_GREY, _COLOUR = 3, 4  # dimensions of the whole array


class ArraySplit(ImageSplit):
    """Labelled images held as one uint8 array.

    Args:
        images: uint8 [n, height, width] (grey) or [n, height, width, 3] (RGB); it is not copied.
        labels: Integers [n].
        name: Name of the images in messages; image i is ``name[i]``.

    Raises:
        InvalidInput: the array has another type or shape, or the numbers of images and labels differ.
    """

    def __init__(self, images: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]], *, name: str = "image") -> None:
        colour = images.ndim == _COLOUR and images.shape[-1] == 3  # noqa: PLR2004 - red, green and blue
        if images.dtype != np.uint8 or not (images.ndim == _GREY or colour) or 0 in images.shape[1:]:
            raise InvalidInput(
                f"{name} is a {images.dtype} array of shape {images.shape}",
                hint="give uint8 [n, height, width] or [n, height, width, 3]",
            )
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise InvalidInput(
                f"{name} has {len(images)} images and {labels.dtype} labels of shape {labels.shape}",
                hint="give one integer label for each image",
            )
        self._images = images
        self.labels = labels.astype(np.int64)
        self.names = [f"{name}[{index}]" for index in range(len(images))]

    def image(self, index: int) -> Image.Image:
        """Image ``index``, RGB."""
        return Image.fromarray(self._images[index]).convert("RGB")
