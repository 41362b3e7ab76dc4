"""Preprocessing: from an image to the network's input. Training, verification and the device use the same code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from prunnet_export._decoding import BACKGROUND, ImageLike, decode, load, upright
from prunnet_export._errors import InvalidInput

if TYPE_CHECKING:  # `--help` imports this module and has to be fast
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

__all__ = [
    "BACKGROUND",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LARGEST_SIDE",
    "Fit",
    "ImageLike",
    "Preprocessing",
    "Size",
    "decode",
    "parse_size",
    "sides",
    "size_text",
    "to_chw",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_SIDE = 4096
LEAST_RATIO = 4
"""A photograph whose shorter side keeps so many times the frame may be decoded at a fraction of its size."""
_LARGEST_RATIO = 16  # of a resized image to the frame that it covers; more would only cost memory

Size = int | tuple[int, int]
"""Side of a square, or height and width, in pixels."""
Fit = Literal["crop", "squash", "pad"]


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an image becomes an input; mean and std are applied inside the graph.

    Attributes:
        crop: Size of the input: what the centre crop takes out of the resized image.
        resize: Size of the frame that the image is resized for, before the crop; bilinear with antialiasing.
        mean: Mean of each channel, for values in 0..1.
        std: Standard deviation of each channel, for values in 0..1.
        decoding: The rule by which a file becomes RGB pixels. ``upright-on-white``: the image is turned as its EXIF
            orientation says, transparent pixels are laid on white, and of 16 bits a channel the upper 8 are kept. A
            version with another rule gives it another name, and a version that does not know the name refuses it.
        fit: How the image is fitted to the frame. ``crop``: it keeps its ratio and covers the frame, so for a square
            its shorter side becomes ``resize``. ``squash``: it gets exactly the size of the frame. ``pad``: it keeps
            its ratio and lies inside the frame, in the middle, on white.

    Raises:
        InvalidInput: the sizes do not fit each other or are out of range, or a std is not positive.
    """

    crop: Size
    resize: Size
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    decoding: Literal["upright-on-white"] = "upright-on-white"
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        # One spelling of a square, so that equal values are equal and old files stay as they are.
        for field in ("crop", "resize"):
            height, width = sides(getattr(self, field))
            msgspec.structs.force_setattr(self, field, height if height == width else (height, width))
        pairs = zip(self.size, self.frame, strict=True)
        if not all(1 <= inner <= outer <= LARGEST_SIDE for inner, outer in pairs):
            raise InvalidInput(
                f"preprocessing crops {size_text(self.crop)} pixels out of {size_text(self.resize)}",
                hint=f"crop <= resize <= {LARGEST_SIDE}, all positive",
            )
        if min(self.std) <= 0:
            raise InvalidInput(f"preprocessing divides by std {self.std}", hint="std has to be positive")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, pixels."""
        return sides(self.crop)

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of the frame that the image is resized for, pixels."""
        return sides(self.resize)

    def resized(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in upright RGB, fitted to the frame. It is at least as large as the frame.

        Args:
            image: The image.
            bicubic: Resize bicubic instead of bilinear, as some teachers do. Networks of this package are bilinear.
        """
        from PIL import Image

        image = decode(image, name="the image")
        how = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
        height, width = self.frame
        if self.fit == "squash":
            return image if image.size == (width, height) else image.resize((width, height), how)
        if self.fit == "pad":
            return _padded(image, self.frame, how)
        image = _shortened(image, self.frame)
        scale = max(width / image.width, height / image.height)
        size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        return image if size == image.size else image.resize(size, how)

    def cropped(self, image: Image.Image, *, bicubic: bool = False) -> Image.Image:
        """The image in upright RGB, resized as :meth:`resized` does, and centre-cropped to ``crop``."""
        image = self.resized(image, bicubic=bicubic)
        height, width = self.size
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def __call__(self, images: Sequence[ImageLike]) -> npt.NDArray[np.float32]:
        """The inputs of a network.

        The images are queries: a large JPEG file is decoded as :meth:`loaded` says.

        Args:
            images: Paths, file contents, PIL images, or uint8 arrays [height, width, 3] or [height, width].

        Returns:
            float32 [n, 3, h, w] in 0..1, with the height and width of ``crop``.

        Raises:
            InvalidInput: an image cannot be read; the message names it.
        """
        import numpy as np

        batch = np.empty((len(images), 3, *self.size), np.float32)
        for index, image in enumerate(images):
            batch[index] = self.query_input(image, name=f"image {index}")
        return batch

    def query_input(self, image: ImageLike, *, name: str) -> npt.NDArray[np.float32]:
        """Both steps to a network's input, :meth:`loaded` and :meth:`input`; the arguments and errors are theirs."""
        return self.input(self.loaded(image, name=name), name=name)

    def loaded(self, image: ImageLike, *, name: str) -> Image.Image:
        """The first step to a network's input: the pixels of an image, as its file has them.

        A large JPEG file is decoded at 1/8, 1/4 or 1/2 of its size, which is several times as fast. Its shorter side
        keeps at least four times as many pixels as the longer side of the frame, so that the embedding hardly changes
        (docs/budgets.md has the figures). PIL images and arrays have their pixels already.

        Args:
            image: As for :meth:`__call__`.
            name: Name for error messages, used if the image has no path.

        Raises:
            InvalidInput: it cannot be read.
        """
        return load(image, name=name, least_side=LEAST_RATIO * max(self.frame))

    def input(self, loaded: Image.Image, *, name: str) -> npt.NDArray[np.float32]:
        """The second step: float32 [3, h, w] in 0..1 from an image of :meth:`loaded`, turned, resized and cropped."""
        return to_chw(self.cropped(upright(loaded, name=name)))


def size_text(size: Size) -> str:
    """A size as the command line takes it, height first: ``224``, or ``256x128``."""
    height, width = sides(size)
    return str(height) if height == width else f"{height}x{width}"


def parse_size(text: str) -> Size:
    """The size in ``224`` or ``256x128``, height first.

    Raises:
        InvalidInput: it is no size.
    """
    found = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.strip(), re.ASCII)
    if found is None:
        raise InvalidInput(f"{text!r} is no size in pixels", hint="e.g. 224, or 256x128: height x width")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def to_chw(image: Image.Image) -> npt.NDArray[np.float32]:
    """An RGB image as float32 [3, height, width] in 0..1."""
    import numpy as np

    chw: npt.NDArray[np.float32] = np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(255)
    return chw


def sides(size: Size) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def _padded(image: Image.Image, frame: tuple[int, int], how: Image.Resampling) -> Image.Image:
    """The image with its ratio, in the middle of a white frame."""
    from PIL import Image

    height, width = frame
    if image.size == (width, height):
        return image
    scale = min(width / image.width, height / image.height)
    size = (min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale))))
    padded = Image.new("RGB", (width, height), BACKGROUND)
    padded.paste(image.resize(size, how), ((width - size[0]) // 2, (height - size[1]) // 2))
    return padded


def _shortened(image: Image.Image, frame: tuple[int, int]) -> Image.Image:
    """The middle of an image that is much longer than the frame that it will cover; other images as they are.

    A strip of 1 x 60,000 pixels would need gigabytes if it were resized as a whole.
    """
    height, width = frame
    across = min(image.width, max(1, _LARGEST_RATIO * image.height * width // height))
    down = min(image.height, max(1, _LARGEST_RATIO * image.width * height // width))
    if (across, down) == image.size:
        return image
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return image.crop((left, top, left + across, top + down))
