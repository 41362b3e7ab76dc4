"""Rendering a picture of a character with a random distortion, colours and noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageFont

from prunnet_export.training.data._glyph_classes import draw_character

# The values are set by hand, so that a small network is better than chance after some hundred steps, and not yet
# perfect after a thousand.
SIDE = 64  # pixels
FONT_SIZE = 64  # pixels per em; larger than in the picture, because a character stays sharp when it shrinks
EXTENT = 40.0  # pixels, the longer side of the character at scale 1
SCALE = (0.8, 1.2)
ASPECT = 0.15  # standard deviation of the logarithm of width over height
ROTATION = 15.0  # degrees to either side
SHEAR = 0.2
SHIFT = 5.0  # pixels to either side
STROKE = 2  # pixels at FONT_SIZE, at most
BLUR = 1.2  # pixels, at most
NOISE = 20.0  # of 255, at most
CONTRAST = 70.0  # of 255, the least difference of luminance between paper and paint
OCCLUSION = 0.15  # probability that a bar of another colour crosses the picture
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def render(font: ImageFont.FreeTypeFont, character: str, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture of the character, uint8 [SIDE, SIDE, 3], from a font at ``FONT_SIZE``.

    If the face has only a blank for the character, the picture shows paper and noise. The same generator state gives
    the same picture.
    """
    drawn = draw_character(font, character, stroke=int(rng.integers(STROKE + 1))) or Image.new("L", (1, 1))
    coverage = drawn.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, _warp(drawn.size, rng), Image.Resampling.BILINEAR
    ).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, BLUR)))
    paper, paint = _colours(rng)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    slope = rng.uniform(-25, 25, (2, 3)).astype(np.float32)  # uneven lighting
    picture = paper + ramp[:, None, None] * slope[0] + ramp[None, :, None] * slope[1]
    picture += (np.asarray(coverage, np.float32) / 255)[..., None] * (paint - paper)
    if rng.random() < OCCLUSION:
        start, width = int(rng.integers(SIDE)), int(rng.integers(3, 8))
        bar = slice(start, start + width)
        picture[(bar, slice(None)) if rng.random() < 0.5 else (slice(None), bar)] = rng.uniform(0, 255, 3)  # noqa: PLR2004 - a fair coin
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(2, NOISE))
    pixels: npt.NDArray[np.uint8] = picture.clip(0, 255).astype(np.uint8)
    return pixels


def _warp(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, ...]:
    """PIL's six affine coefficients, which map a position in the picture to one in the drawn character."""
    scale = EXTENT / max(size) * rng.uniform(*SCALE)
    stretch = math.exp(rng.normal(0, ASPECT) / 2)
    angle, shear = math.radians(rng.uniform(-ROTATION, ROTATION)), rng.uniform(-SHEAR, SHEAR)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag([scale * stretch, scale / stretch])
    inverse = np.linalg.inv(forward)
    target = SIDE / 2 + rng.uniform(-SHIFT, SHIFT, 2)
    offset = np.array(size) / 2 - inverse @ target
    return (*map(float, inverse[0]), float(offset[0]), *map(float, inverse[1]), float(offset[1]))


def _colours(rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The colours of paper and paint, float32 [3] in 0..255. Paper is always lighter, which is easier to learn."""
    while True:
        paper, paint = rng.uniform(0, 255, (2, 3)).astype(np.float32)
        if float((paper - paint) @ _LUMINANCE) >= CONTRAST:
            return paper, paint
