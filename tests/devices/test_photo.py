from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from prunnet_export.devices import photograph


def test_it_is_the_same_on_every_run_and_of_the_asked_size() -> None:
    content = photograph((300, 400))
    photograph.cache_clear()
    assert photograph((300, 400)) == content
    with Image.open(BytesIO(content)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (400, 300))
        assert image.getexif()[ExifTags.Base.Orientation] == 6


def test_it_compresses_as_photographs_do() -> None:
    content = photograph((600, 800))
    bits = 8 * len(content) / (600 * 800)
    assert 1 < bits < 4  # a photograph of quality 90 takes 2 to 3 bits a pixel; one colour 0.1, noise 8
    with Image.open(BytesIO(content)) as image:
        assert 20 < np.asarray(image).std() < 100
