"""Preprocessing: from an image to the network's input. Training, verification and the device use the same code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from prunnet_export._decoding import ImageLike, decode
from prunnet_export._errors import InvalidInput

if TYPE_CHECKING:  # `--help` imports this module and has to be fast
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageLike", "Preprocessing", "decode", "to_chw"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes an input; mean and std are applied inside the graph.

    Attributes:
        crop: Side of the square centre crop, pixels.
        resize: Length of the shorter side before the crop, pixels; bilinear with antialiasing.
        mean: Mean of each channel, for values in 0..1.
        std: Standard deviation of each channel, for values in 0..1.
        decoding: The rule by which a file becomes RGB pixels. ``upright-on-white``: the image is turned as its EXIF
            orientation says, transparent pixels are laid on white, and of 16 bits a channel the upper 8 are kept. A
            version with another rule gives it another name, and a version that does not know the name refuses it.
    """

    crop: int
    resize: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    decoding: Literal["upright-on-white"] = "upright-on-white"

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise InvalidInput(
                f"preprocessing crops {self.crop} pixels out of {self.resize}", hint="crop <= resize, both positive"
            )
        if min(self.std) <= 0:
            raise InvalidInput(f"preprocessing divides by std {self.std}", hint="std has to be positive")

    def resized(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in upright RGB, resized so that its shorter side has ``resize`` pixels.

        Args:
            image: The image.
            bicubic: Resize bicubic instead of bilinear, as some teachers do. Networks of this package are bilinear.
        """
        from PIL import Image

        image = decode(image, name="the image")
        width, height = image.size
        if min(width, height) == self.resize:
            return image
        scale = self.resize / min(width, height)
        size = (max(self.resize, round(width * scale)), max(self.resize, round(height * scale)))
        return image.resize(size, Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR)

    def cropped(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in upright RGB, resized as :meth:`resized` does, and centre-cropped to ``crop`` x ``crop``."""
        image = self.resized(image, bicubic=bicubic)
        left, top = (image.size[0] - self.crop) // 2, (image.size[1] - self.crop) // 2
        return image.crop((left, top, left + self.crop, top + self.crop))

    def __call__(self, images: Sequence[ImageLike]) -> npt.NDArray[np.float32]:
        """The inputs of a network.

        Args:
            images: Paths, file contents, PIL images, or uint8 arrays [height, width, 3] or [height, width].

        Returns:
            float32 [n, 3, crop, crop] in 0..1.

        Raises:
            InvalidInput: an image cannot be read; the message names it.
        """
        import numpy as np

        batch = np.empty((len(images), 3, self.crop, self.crop), np.float32)
        for index, image in enumerate(images):
            batch[index] = to_chw(self.cropped(decode(image, name=f"image {index}")))
        return batch


def to_chw(image: Image.Image) -> npt.NDArray[np.float32]:
    """An RGB image as float32 [3, height, width] in 0..1."""
    import numpy as np

    chw: npt.NDArray[np.float32] = np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(255)
    return chw
