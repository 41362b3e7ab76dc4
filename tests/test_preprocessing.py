"""Images of any mode become RGB."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.preprocessing import decode


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_become_eight(kind: str) -> None:
    grey = np.arange(0, 65536, 4096, dtype=np.uint16).reshape(4, 4)
    file = BytesIO()
    Image.fromarray(grey).save(file, kind)
    expected = np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    for image in (file.getvalue(), Image.fromarray(grey)):
        np.testing.assert_array_equal(np.asarray(decode(image, name="x-ray")), expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_32_bits_are_refused(dtype: type) -> None:
    with pytest.raises(InvalidInput, match="depth has pixels of 32 bits"):
        decode(Image.fromarray(np.zeros((4, 4), dtype)), name="depth")
