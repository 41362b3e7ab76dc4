"""The stored preprocessing: its defaults, and a rule of decoding that this version does not know."""

from __future__ import annotations

from io import BytesIO

import msgspec
import numpy as np
import pytest
from PIL import ExifTags, Image

from prunnet_export._errors import InvalidInput
from prunnet_export.devices import photograph
from prunnet_export.network_config import DEMO, read_config
from prunnet_export.preprocessing import Fit, Preprocessing, Size, decode, parse_size, size_text

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


def gradient(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom; blue is 128."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).round()
    pixels[..., 1] = np.linspace(0, 255, height).round()[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize(("width", "height"), [(8, 16), (16, 8), (64, 128), (7, 300), (300, 7), (33, 33), (1, 1)])
def test_inputs_are_as_high_and_as_wide_as_the_crop(fit: Fit, width: int, height: int) -> None:
    steps = Preprocessing(crop=(16, 8), resize=(20, 12), fit=fit)
    assert steps([gradient(width, height)]).shape == (1, 3, 16, 8)
    resized = steps.resized(gradient(width, height))
    assert resized.height >= 20
    assert resized.width >= 12
    # What was resized can be kept, and resized again when it is used.
    np.testing.assert_array_equal(np.asarray(steps.resized(resized)), np.asarray(resized))


def test_a_crop_keeps_the_ratio_and_loses_the_ends() -> None:
    found = np.asarray(Preprocessing(crop=(16, 8), resize=(16, 8)).cropped(gradient(64, 64))).astype(int)
    assert found[..., 1].min() < 12  # the whole height
    assert found[..., 1].max() > 243
    assert found[..., 0].min() > 50  # half of the width
    assert found[..., 0].max() < 205


def test_a_squash_shows_the_whole_image() -> None:
    found = np.asarray(Preprocessing(crop=(16, 8), resize=(16, 8), fit="squash").cropped(gradient(64, 64))).astype(int)
    for channel in (0, 1):
        assert found[..., channel].min() < 20
        assert found[..., channel].max() > 235


def test_padding_shows_the_whole_image_on_white() -> None:
    steps = Preprocessing(crop=(16, 8), resize=(16, 8), fit="pad")
    found = np.asarray(steps.cropped(gradient(64, 64))).astype(int)
    assert (found[[0, 1, 2, 3, 12, 13, 14, 15]] == 255).all()  # 8 x 8 pixels lie in the middle
    np.testing.assert_array_equal(found[4:12], np.asarray(gradient(64, 64).resize((8, 8), Image.Resampling.BILINEAR)))


def test_a_square_is_resized_as_ever() -> None:
    """The shorter side becomes ``resize``, and the middle is cut out."""
    image = gradient(90, 60)
    wanted = image.resize((30, 20), Image.Resampling.BILINEAR).crop((7, 2, 23, 18))
    found = Preprocessing(crop=16, resize=20).cropped(image)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_strip_does_not_become_a_large_image(size: tuple[int, int], fit: Fit) -> None:
    steps = Preprocessing(crop=224, resize=256, fit=fit)
    resized = steps.resized(Image.new("RGB", size, (10, 20, 30)))
    assert resized.width * resized.height <= 16 * 256 * 256
    assert steps([resized]).shape == (1, 3, 224, 224)


def test_a_square_has_one_spelling() -> None:
    assert Preprocessing(crop=(8, 8), resize=(9, 9)) == Preprocessing(crop=8, resize=9)
    stored = msgspec.to_builtins(Preprocessing(crop=(8, 8), resize=(10, 9)))
    assert (stored["crop"], stored["resize"]) == (8, (10, 9))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(stored)), Preprocessing).resize == (10, 9)


@pytest.mark.parametrize(
    ("crop", "resize"), [((16, 8), (8, 16)), ((8, 16), 8), (0, 8), ((8, -1), 8), (8, 2**31), (9, 8), (8, (8, 4097))]
)
def test_sizes_that_do_not_fit_are_refused(crop: Size, resize: Size) -> None:
    with pytest.raises(InvalidInput, match=r"crops .* pixels out of"):
        Preprocessing(crop=crop, resize=resize)


@pytest.mark.parametrize(("text", "size"), [("224", 224), ("256x128", (256, 128)), (" 8x8 ", (8, 8))])
def test_the_spelling_of_sizes(text: str, size: Size) -> None:
    assert parse_size(text) == size
    assert parse_size(size_text(size)) in {size, 8}


@pytest.mark.parametrize("text", ["", "x", "0", "8x", "x8", "-8", "8x8x8", "8.5", "8 x 8", "99999", "8X8", "\u0668"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no size in pixels") as caught:
        parse_size(text)
    assert "256x128" in caught.value.hint


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_large_photograph_is_decoded_at_a_fraction_and_looks_the_same(fit: Fit) -> None:
    photo = photograph((600, 800))
    for steps in (Preprocessing(crop=16, resize=18, fit=fit), Preprocessing(crop=(30, 16), resize=(36, 18), fit=fit)):
        decoded = steps.loaded(photo, name="photo")
        assert min(decoded.size) >= 4 * max(steps.frame)
        assert decoded.size in {(100, 75), (200, 150)}
        fraction, whole = steps([photo, decode(photo, name="photo")])
        np.testing.assert_allclose(fraction, whole, atol=6 / 255)
        assert np.abs(fraction - whole).mean() < 0.5 / 255
