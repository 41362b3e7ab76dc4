"""What cameras and transmissions do to images, at three strengths each.

The kinds are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019), as far as a phone or a camera makes them. The strengths are our own. They are relative to
the size of the image, so that a small image is corrupted as much as a large one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from prunnet_export.datasets import ImageSplit
from prunnet_export.preprocessing import decode

Apply = Callable[[Image.Image, float, int], Image.Image]


@dataclass(frozen=True)
class Corruption:
    """A kind of damage.

    Attributes:
        name: Its name.
        strengths: The parameter of each strength, the mildest first.
        unit: What the parameter is.
        apply: The damaged copy of an RGB image, for a parameter and the number of the image.
    """

    name: str
    strengths: tuple[float, ...]
    unit: str
    apply: Apply


def _jpeg(image: Image.Image, quality: float, _number: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(quality))
    return decode(buffer.getvalue(), name="the image")


def _blur(image: Image.Image, share: float, _number: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def _low_light(image: Image.Image, exposure: float, number: int) -> Image.Image:
    """Fewer photons: a darker image, with the noise of counting 1,000 photons at full white, read in 8 bits."""
    photons = np.asarray(image, np.float64) / 255 * exposure * 1000
    noisy = np.random.default_rng(number).poisson(photons) / 1000 * 255
    return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def _resolution(image: Image.Image, share: float, _number: int) -> Image.Image:
    """A far object: fewer pixels, enlarged again by the nearest pixel, as a fast resize on a device does it."""
    small = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.NEAREST)
    return small.resize(image.size, Image.Resampling.NEAREST)


def _warm_light(image: Image.Image, share: float, _number: int) -> Image.Image:
    """A wrong white balance: more red and less blue."""
    gains = np.array([1 + share, 1, 1 - share])
    return Image.fromarray(np.clip(np.round(np.asarray(image, np.float64) * gains), 0, 255).astype(np.uint8))


def _swapped(image: Image.Image, _strength: float, _number: int) -> Image.Image:
    """Red and blue in each other's place."""
    return Image.merge("RGB", image.split()[::-1])


CORRUPTIONS = (
    Corruption("JPEG", (50, 20, 5), "quality", _jpeg),
    Corruption("blur", (0.01, 0.02, 0.04), "radius / shorter side", _blur),
    Corruption("low light", (0.5, 0.2, 0.08), "exposure", _low_light),
    Corruption("few pixels", (0.5, 0.25, 0.125), "share of the sides", _resolution),
    Corruption("warm light", (0.1, 0.25, 0.5), "gain of red", _warm_light),
    Corruption("BGR", (1,), "red and blue swapped", _swapped),
)


class Corrupted(ImageSplit):
    """The images of a split with one corruption.

    Args:
        split: The split.
        corruption: The kind of damage.
        strength: Its parameter.
    """

    def __init__(self, split: ImageSplit, corruption: Corruption, strength: float) -> None:
        self._split, self._corruption, self._strength = split, corruption, strength
        self.labels, self.names, self.cameras = split.labels, split.names, split.cameras

    def image(self, index: int) -> Image.Image:
        """Image ``index``, damaged. The errors are those of its split."""
        return self._corruption.apply(self._split.image(index), self._strength, index)
