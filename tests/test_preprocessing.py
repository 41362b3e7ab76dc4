"""The stored preprocessing: its defaults, and a rule of decoding that this version does not know."""

from __future__ import annotations

from io import BytesIO

import msgspec
import numpy as np
import pytest
from PIL import ExifTags, Image

from prunnet_export.network_config import DEMO, read_config
from prunnet_export.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(crop=8, resize=8)


def test_the_rule_of_decoding_is_stored() -> None:
    assert msgspec.to_builtins(PREPROCESSING)["decoding"] == "upright-on-white"


def test_a_configuration_from_before_the_rule_is_read() -> None:
    assert "decoding" not in msgspec.json.decode((DEMO / "config.json").read_bytes())["preprocessing"]
    assert read_config(DEMO).preprocessing.decoding == "upright-on-white"


def test_a_rule_that_is_not_known_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="decoding"):
        msgspec.convert({"crop": 8, "resize": 8, "decoding": "as-stored"}, Preprocessing)


def test_an_input_is_upright_and_on_white() -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 4))  # black above, transparent below
    exif, buffer = Image.Exif(), BytesIO()
    exif[ExifTags.Base.Orientation] = 3
    image.save(buffer, "PNG", exif=exif)
    [found] = PREPROCESSING([buffer.getvalue()])
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(8)[:, None] < 4, (3, 8, 8)).astype(np.float32))
    with Image.open(buffer) as opened:
        np.testing.assert_array_equal(np.asarray(PREPROCESSING.cropped(opened)), found.transpose(1, 2, 0) * 255)
