"""From an image file to upright RGB pixels on a white background. Everything that reads an image does it here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular

if TYPE_CHECKING:  # `--help` imports this module and has to be fast
    import numpy.typing as npt
    from PIL import Image

ImageLike: TypeAlias = "str | Path | bytes | Image.Image | npt.NDArray[Any]"

# Transparency is laid on white, because most pictures of cut-out things are made for white pages.
BACKGROUND = (255, 255, 255)
_ORIENTATION = 0x0112  # the tag of EXIF
_FRACTIONS = (8, 4, 2)  # what the decoder of JPEG offers
_GREY_RANK, _COLOUR_RANK = 2, 3  # dimensions of an array
# Pillow calls Ghostscript for EPS, which would execute the file. Of MPEG it reads only the size.
_NOT_DECODED = frozenset({"EPS", "MPEG"})
_WITH_FRACTIONS = frozenset({"JPEG", "MPO"})  # their decoder can leave out fine detail; MPO is JPEG with more images


def decode(image: ImageLike, *, name: str) -> Image.Image:
    """The image, decoded, RGB, turned as its EXIF orientation says, with transparency laid on white.

    The result holds no metadata. So decoding it again changes nothing.

    Args:
        image: A path, a file's contents, a PIL image, or a uint8 array [height, width, 3] or [height, width].
        name: Name for error messages, used if the image has no path.

    Raises:
        InvalidInput: it cannot be read.
    """
    return upright(load(image, name=name), name=name)


def upright(image: Image.Image, *, name: str) -> Image.Image:
    """The second step of :func:`decode`: an image of :func:`load` in RGB, turned, with transparency laid on white."""
    with _reading_errors(name):
        return _upright_rgb(image)


def load(image: ImageLike, *, name: str, least_side: int | None = None) -> Image.Image:
    """The first step of :func:`decode`: the pixels are in memory, as the file has them.

    Args:
        image: As for :func:`decode`.
        name: As for :func:`decode`.
        least_side: Decode a JPEG file at 1/8, 1/4 or 1/2 of its size, if its shorter side keeps so many pixels. Both
            sides have to be divisible by 8, 4 or 2: else the last pixel would stand for less of the image than the
            others, and all of it would be resized by another ratio. None decodes every image whole.

    Raises:
        InvalidInput: it cannot be read.
    """
    import numpy as np
    from PIL import Image

    if isinstance(image, np.ndarray):
        is_colour = image.ndim == _COLOUR_RANK and image.shape[2] == len("RGB")
        if image.dtype != np.uint8 or not (image.ndim == _GREY_RANK or is_colour):
            raise InvalidInput(
                f"{name} is a {image.dtype} array of shape {image.shape}",
                hint="give uint8 [height, width, 3] in RGB order",
            )
        return Image.fromarray(image)
    if isinstance(image, Image.Image):
        with _reading_errors(name):
            image.load()
        _check_depth(image, name)
        return image
    if not isinstance(image, bytes):
        name = str(image)
    with (
        _reading_errors(name),
        BytesIO(image) if isinstance(image, bytes) else open_regular(image) as source,
        Image.open(source) as opened,
    ):
        if opened.format in _NOT_DECODED:
            raise InvalidInput(f"{name}: {opened.format} files are not read", hint="convert it to PNG or JPEG")
        if least_side is not None and opened.format in _WITH_FRACTIONS:
            _take_a_fraction(opened, least_side)
        opened.load()
        _check_depth(opened, name)
        _transposition(opened)  # some formats read their EXIF data from the file, and it is kept then
        return opened


def _take_a_fraction(opened: Image.Image, least_side: int) -> None:
    """Let the decoder skip detail, see :func:`load`. An eighth of a JPEG is decoded in a third of the time."""
    for parts in _FRACTIONS:
        width, height = opened.width // parts, opened.height // parts
        if (width * parts, height * parts) == opened.size and min(width, height) >= least_side:
            opened.draft(None, (width, height))
            return


@contextmanager
def _reading_errors(name: str) -> Iterator[None]:
    from PIL import Image

    try:
        yield
    except FileNotFoundError:
        raise InvalidInput(f"{name}: no such image", hint="check the path") from None
    except MemoryError:
        raise InvalidInput(f"{name}: too large an image for the memory", hint="make it smaller") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(
            f"{name}: not a readable image ({error})", hint="it may be truncated or no image at all"
        ) from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if type(image) is Image.Image and image.mode == "RGB" and not image.info and not image.getexif():
        return image  # it was decoded before; a copy of 12 megapixels takes as long as the network
    # The orientation is read after the pixels: Pillow itself turns a TIFF when it reads the pixels, and in a PNG the
    # EXIF data can come last.
    turn = _transposition(image)
    if turn is None or image.mode != "RGB" or image.has_transparency_data:
        image = _on_background(_eight_bits(image))
    rgb = image if turn is None else image.transpose(turn)
    rgb.info = {}  # with the orientation in it, the image would be turned again when it is decoded again
    return rgb


def _transposition(image: Image.Image) -> Image.Transpose | None:
    """What turns the image upright; None if it is upright, or if its EXIF data is damaged.

    ImageOps.exif_transpose does the same, but it also writes the EXIF data again, which fails for damaged data.
    """
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001  # damaged EXIF raises many kinds of errors, and the pixels are intact
        return None
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return turns.get(orientation) if isinstance(orientation, int) else None


def _check_depth(image: Image.Image, name: str) -> None:
    if image.mode in {"I", "F"}:
        raise InvalidInput(f"{name} has pixels of 32 bits", hint="give images of 8 or 16 bits a channel")


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel: the upper ones of 16 bits, because Pillow would clip the values to white."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I;16"):
        return image
    grey = np.asarray(image)
    result = Image.fromarray((grey >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # the one grey that is transparent
        result.putalpha(Image.fromarray(np.where(grey == transparent, 0, 255).astype(np.uint8)))
    return result


def _on_background(image: Image.Image) -> Image.Image:
    """The image in RGB. Where it is transparent, it shows the background."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # Pillow converts premultiplied grey only to grey
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")


def decoded_formats() -> list[str]:
    """The names of the formats that are decoded, with those of plug-ins that were registered with Pillow."""
    from PIL import Image, ImageFile

    Image.init()
    return [
        name
        for name, (factory, _) in Image.OPEN.items()
        # A stub knows a format but cannot decode it.
        if name not in _NOT_DECODED and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    ]


def image_suffixes() -> frozenset[str]:
    """The suffixes of the formats that are decoded, in lower case, each with its dot."""
    from PIL import Image

    formats = set(decoded_formats())
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def begins_like_an_image(file: str | os.PathLike[str]) -> bool:
    """Whether the first bytes of a file are those of an image. Only its header is read."""
    from PIL import Image

    # Formats without a test of the first bytes would take other files for images.
    formats = [name for name in decoded_formats() if Image.OPEN[name][1] is not None]
    try:
        with open_regular(file) as source, Image.open(source, formats=formats):
            return True
    except Exception:  # noqa: BLE001  # the parsers raise many kinds of errors for files that are no images
        return False
