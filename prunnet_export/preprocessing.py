"""Preprocessing: from an image to the network's input. Training, verification and the device use the same code."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from prunnet_export._errors import InvalidInput

if TYPE_CHECKING:  # `--help` imports this module and has to be fast
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

ImageLike: TypeAlias = "str | Path | bytes | Image.Image | npt.NDArray[Any]"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes an input; mean and std are applied inside the graph.

    Attributes:
        crop: Side of the square centre crop, pixels.
        resize: Length of the shorter side before the crop, pixels; bilinear with antialiasing.
        mean: Mean of each channel, for values in 0..1.
        std: Standard deviation of each channel, for values in 0..1.
    """

    crop: int
    resize: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise InvalidInput(
                f"preprocessing crops {self.crop} pixels out of {self.resize}", hint="crop <= resize, both positive"
            )
        if min(self.std) <= 0:
            raise InvalidInput(f"preprocessing divides by std {self.std}", hint="std has to be positive")

    def resized(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in RGB, resized so that its shorter side has ``resize`` pixels.

        Args:
            image: The image.
            bicubic: Resize bicubic instead of bilinear, as some teachers do. Networks of this package are bilinear.
        """
        from PIL import Image

        image = image.convert("RGB")
        width, height = image.size
        if min(width, height) == self.resize:
            return image
        scale = self.resize / min(width, height)
        size = (max(self.resize, round(width * scale)), max(self.resize, round(height * scale)))
        return image.resize(size, Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR)

    def cropped(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in RGB, resized as :meth:`resized` does, and centre-cropped to ``crop`` x ``crop``."""
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


def decode(image: ImageLike, *, name: str) -> Image.Image:
    """The image, decoded, RGB.

    Args:
        image: A path, a file's contents, a PIL image, or a uint8 array [height, width, 3] or [height, width].
        name: Name for error messages, used if the image has no path.

    Raises:
        InvalidInput: it cannot be read.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, Image.Image):
        return _rgb(image, name)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):  # noqa: PLR2004
            raise InvalidInput(
                f"{name} is a {image.dtype} array of shape {image.shape}",
                hint="give uint8 [height, width, 3] in RGB order",
            )
        return Image.fromarray(image).convert("RGB")
    if not isinstance(image, bytes):
        name = str(image)
    try:
        with Image.open(BytesIO(image) if isinstance(image, bytes) else image) as opened:
            return _rgb(opened, name)
    except FileNotFoundError:
        raise InvalidInput(f"{name}: no such image", hint="check the path") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(
            f"{name}: not a readable image ({error})", hint="it may be truncated or no image at all"
        ) from None


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """The image in RGB. Of 16-bit grey the upper 8 bits are kept, because Pillow would clip the values to white."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise InvalidInput(f"{name} has pixels of 32 bits", hint="give images of 8 or 16 bits a channel")
    return image.convert("RGB")
