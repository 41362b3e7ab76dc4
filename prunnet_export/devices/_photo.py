"""A photograph for measurements: its bytes are the same on every run, and it compresses about as real ones do."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from prunnet_export.preprocessing import Size, sides

_QUALITY = 90
_HELD_UPRIGHT = 6  # the orientation that most phones write: turn by 90 degrees to the right
_COARSEST, _FINER = 6, 4  # points of the coarsest pattern along the longer side, and how many times finer the next is
_CONTRAST, _FADING = 60.0, 0.5  # grey levels of the coarsest pattern, and what is left of them in the next
_SENSOR = 2.0  # grey levels of the noise of each pixel


@cache
def photograph(size: Size) -> bytes:
    """A JPEG file, quality 90, whose EXIF data asks to turn it by 90 degrees, as that of a phone held upright.

    Patterns of all scales become weaker with their fineness, as in photographs, and each pixel has a little noise. One
    of 12 megapixels has about 2.7 MB.

    Args:
        size: Height and width of the stored image, pixels.
    """
    height, width = sides(size)
    draw = np.random.default_rng(0)
    channels = [_channel(height, width, draw) for _ in range(3)]
    noise = draw.standard_normal((height, width), np.float32) * _SENSOR
    pixels = np.stack([np.clip(channel + noise, 0, 255).astype(np.uint8) for channel in channels], axis=2)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _HELD_UPRIGHT
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, exif=exif)
    return buffer.getvalue()


def _channel(height: int, width: int, draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """Grey levels float32 [height, width] around the middle: random points of several densities, smoothly joined."""
    longer, points, contrast = max(height, width), _COARSEST, _CONTRAST
    channel = np.full((height, width), 128, np.float32)
    while points < longer / _FINER:
        rows, columns = (max(2, side * points // longer) for side in (height, width))
        coarse = Image.fromarray(draw.standard_normal((rows, columns), np.float32) * np.float32(contrast))
        channel += np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
        points, contrast = points * _FINER, contrast * _FADING
    return channel
