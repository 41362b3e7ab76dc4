"""Views: augmented versions of an image that are the same in every process and every run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy and Pillow are imported when the first view is made
    import numpy as np
    from PIL import Image

_VIEWS = 2  # part of the seed, so that no other generator of this package draws the same numbers
_LEAST_AREA = 0.5
_LARGEST_RATIO = 4 / 3


def view(image: Image.Image, *, seed: int, view: int, index: int, flip: bool) -> Image.Image:
    """One view of an image. It depends only on the image, the seed, the view's number and the image's index.

    View 0 is the image itself. Every other view is a random box of it, mirrored with probability 1/2. The box has 0.5
    to 1 of the image's area, and 3/4 to 4/3 of its ratio of width to height.

    Args:
        image: The image.
        seed: The seed, at least 0.
        view: Number of the view, at least 0.
        index: Index of the image in its split.
        flip: Whether views may be mirrored. The box does not depend on it.

    Returns:
        The view in the image's own resolution.
    """
    import numpy as np
    from PIL import Image

    if view == 0:
        return image
    draw = np.random.default_rng((_VIEWS, seed, view, index))
    image = image.crop(_box(*image.size, draw))
    mirror = bool(draw.integers(2))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and mirror else image


def _box(width: int, height: int, draw: np.random.Generator) -> tuple[int, int, int, int]:
    """A random box: left, top, right, bottom in pixels."""
    area = draw.uniform(_LEAST_AREA, 1)
    # A box with a wider range of ratios would be larger than the image in one direction.
    limit = math.log(min(_LARGEST_RATIO, 1 / area))
    ratio = math.exp(draw.uniform(-limit, limit))
    box_width = max(1, round(width * math.sqrt(area * ratio)))
    box_height = max(1, round(height * math.sqrt(area / ratio)))
    left = int(draw.integers(width - box_width + 1))
    top = int(draw.integers(height - box_height + 1))
    return left, top, left + box_width, top + box_height
