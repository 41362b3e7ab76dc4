"""Images of any mode become RGB, upright and on white; damaged metadata does no harm."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image

from prunnet_export._decoding import begins_like_an_image, decode, image_suffixes, load
from prunnet_export._errors import InvalidInput
from tests._asserts import assert_one_line
from tests._inputs import HAS_AVIF

Pixels = npt.NDArray[np.uint8]
HIDDEN, SHOWN, WHITE = (200, 0, 0), (0, 0, 200), (255, 255, 255)
# What the EXIF orientations 1 to 8 ask for, as changes of rows and columns.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}


def scene() -> Pixels:
    """Uint8 [16, 24, 3]: six blocks of different colours."""
    blocks = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: Any, kind: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return file_of(Image.fromarray(scene()), kind, exif=exif, **OPTIONS[kind])


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_image_is_turned_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    content = turned(orientation, kind)
    image = decode(content, name="scene")
    assert image.mode == "RGB"
    np.testing.assert_allclose(
        np.asarray(image).astype(int), UPRIGHT[orientation](scene()), atol=3 if kind == "JPEG" else 0
    )
    file = tmp_path / "scene"
    file.write_bytes(content)
    with Image.open(file) as opened:
        others = [decode(image, name="again"), decode(file, name="file"), decode(opened, name="opened")]
    for other in others:
        np.testing.assert_array_equal(np.asarray(other), np.asarray(image))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning", "ignore:Truncated File Read:UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + 30 * b"\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",  # orientation 9
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",  # orientation "six"
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0",  # 6 / 0
    ],
)
def test_damaged_metadata_leaves_the_image_as_it_is(kind: str, exif: bytes) -> None:
    image = decode(file_of(Image.fromarray(scene()), kind, exif=exif, **OPTIONS[kind]), name="scene")
    np.testing.assert_allclose(np.asarray(image).astype(int), scene(), atol=3)


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
def test_an_orientation_counts_although_the_rest_is_damaged() -> None:
    # Orientation 6, and a value whose place lies behind the end.
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x32\x01\x02\0\x14\0\0\0\xff\xff\0\0\0\0\0\0"
    )
    image = decode(file_of(Image.fromarray(scene()), "PNG", exif=exif), name="scene")
    np.testing.assert_array_equal(np.asarray(image), UPRIGHT[6](scene()))


def cut_out() -> Image.Image:
    """RGBA, 4 x 2: the left half is transparent over a hidden colour."""
    image = Image.new("RGBA", (4, 2), (*HIDDEN, 0))
    image.paste((*SHOWN, 255), (2, 0, 4, 2))
    return image


def keyed(mode: str, hidden: Any, shown: Any) -> Image.Image:
    """An image of two colours, of which one is declared transparent when it is saved."""
    image = Image.new(mode, (4, 2), hidden)
    image.paste(shown, (2, 0, 4, 2))
    return image


def palette(alpha: bytes | int) -> bytes:
    image = keyed("P", 0, 1)
    image.putpalette([*HIDDEN, *SHOWN])
    return file_of(image, "PNG", transparency=alpha)


def with_palette_alpha() -> Image.Image:
    image = keyed("P", 0, 1)
    image.putpalette([*HIDDEN, 0, *SHOWN, 255], "RGBA")
    return image


def sixteen_bits() -> bytes:
    grey = np.full((2, 4), 0x1234, np.uint16)
    grey[:, 2:] = 0x1235
    return file_of(Image.fromarray(grey), "PNG", transparency=0x1234)


def palette_and_alpha() -> Image.Image:
    image = cut_out().convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    image.putalpha(cut_out().getchannel("A"))  # Pillow before 12 loses it in a conversion to PA
    assert image.mode == "PA"
    return image


TRANSPARENT: dict[str, tuple[Callable[[], bytes | Image.Image], tuple[int, int, int]]] = {
    "RGBA in PNG": (lambda: file_of(cut_out(), "PNG"), SHOWN),
    "RGBA in WebP": (lambda: file_of(cut_out(), "WEBP", lossless=True, exact=True), SHOWN),
    "RGBA in TIFF": (lambda: file_of(cut_out(), "TIFF"), SHOWN),
    "RGBa": (lambda: cut_out().convert("RGBa"), SHOWN),
    "LA in PNG": (lambda: file_of(keyed("LA", (90, 0), (7, 255)), "PNG"), (7, 7, 7)),
    "La": (lambda: keyed("LA", (90, 0), (7, 255)).convert("La"), (7, 7, 7)),
    "PA": (palette_and_alpha, SHOWN),
    "palette, one entry": (lambda: palette(0), SHOWN),
    "palette, alpha of each entry": (lambda: palette(b"\0\xff"), SHOWN),
    "palette with alpha": (with_palette_alpha, SHOWN),
    "GIF": (lambda: file_of(cut_out(), "GIF"), SHOWN),
    "RGB, one colour": (lambda: file_of(keyed("RGB", HIDDEN, SHOWN), "PNG", transparency=HIDDEN), SHOWN),
    "grey, one shade": (lambda: file_of(keyed("L", 90, 7), "PNG", transparency=90), (7, 7, 7)),
    "black, of 1 bit": (lambda: file_of(keyed("1", 0, 1), "PNG", transparency=0), WHITE),
    "16 bits, one shade": (sixteen_bits, (0x12, 0x12, 0x12)),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_is_laid_on_white(kind: str) -> None:
    make, shown = TRANSPARENT[kind]
    image = decode(make(), name="cut-out")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image)[:, :2], np.full((2, 2, 3), 255))
    np.testing.assert_allclose(np.asarray(image)[:, 2:].astype(int), np.tile(shown, (2, 2, 1)), atol=1)


def test_half_transparency_is_mixed_with_white() -> None:
    image = decode(Image.new("RGBA", (1, 1), (0, 100, 200, 51)), name="veil")
    assert image.getpixel((0, 0)) == (204, 224, 244)  # 20 % of the colour and 80 % of white


def test_a_transparent_image_is_turned_too() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    image = decode(file_of(cut_out(), "PNG", exif=exif), name="cut-out")
    assert [image.getpixel((column, 0)) for column in (0, 3)] == [SHOWN, WHITE]


def test_a_given_image_is_not_changed() -> None:
    with Image.open(BytesIO(turned(6, "PNG"))) as opened:
        decode(opened, name="scene")
        assert opened.size == (24, 16)
        assert opened.getexif()[ExifTags.Base.Orientation] == 6


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


def test_inks_and_single_bits_become_their_colours() -> None:
    inks = file_of(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100)
    np.testing.assert_allclose(np.asarray(decode(inks, name="print")).astype(int)[0, 0], (0, 255, 255), atol=3)
    bits = decode(file_of(keyed("1", 0, 1), "PNG"), name="bits")
    assert [bits.getpixel((column, 0)) for column in (0, 3)] == [(0, 0, 0), WHITE]


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"


def test_a_program_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("something is executed"))
    with pytest.raises(InvalidInput, match="EPS files are not read") as caught:
        decode(POSTSCRIPT, name="drawing")
    assert_one_line(caught.value)


def test_the_suffixes_are_those_that_pillow_decodes() -> None:
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".gif", ".bmp"} <= image_suffixes()
    assert (".avif" in image_suffixes()) == HAS_AVIF
    assert not {".eps", ".mpg", ".h5", ".heic", ".pdf", ".txt", ""} & image_suffixes()


def test_a_plug_in_of_pillow_brings_its_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    image_suffixes()  # Pillow reads its own plug-ins first
    monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
    assert ".heic" not in image_suffixes()
    monkeypatch.setitem(Image.OPEN, "HEIF", (lambda _file, _name: pytest.fail("opened"), None))
    assert ".heic" in image_suffixes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (file_of(Image.new("RGB", (3, 3)), "JPEG"), True),
        (file_of(Image.new("RGB", (3, 3)), "PNG"), True),
        *([(file_of(Image.new("RGB", (16, 16)), "AVIF"), True)] if HAS_AVIF else []),
        (b"", False),
        (b"P6 is a dance", False),
        (b"\0\0\x02\0" + 40 * b"\0", False),  # a cursor without a picture; and near to a TGA, which has no mark
        (POSTSCRIPT, False),
    ],
)
def test_images_are_known_by_their_first_bytes(content: bytes, expected: bool, tmp_path: Path) -> None:
    file = tmp_path / "without suffix"
    file.write_bytes(content)
    assert begins_like_an_image(file) is expected


@pytest.mark.parametrize(
    ("size", "least_side", "kind", "decoded"),
    [
        ((512, 384), 48, "JPEG", (64, 48)),
        ((512, 384), 49, "JPEG", (128, 96)),
        ((512, 384), 192, "JPEG", (256, 192)),
        ((512, 384), 193, "JPEG", (512, 384)),
        ((508, 384), 48, "JPEG", (127, 96)),  # 508 is not divisible by 8
        ((511, 384), 48, "JPEG", (511, 384)),
        ((512, 384), 48, "MPO", (64, 48)),
        ((512, 384), 48, "PNG", (512, 384)),
    ],
)
def test_a_large_jpeg_is_decoded_at_a_fraction(
    size: tuple[int, int], least_side: int, kind: str, decoded: tuple[int, int]
) -> None:
    content = file_of(Image.new("RGB", size, SHOWN), kind)
    assert load(content, name="scene", least_side=least_side).size == decoded
    assert load(content, name="scene").size == decode(content, name="scene").size == size


def test_what_was_decoded_is_not_copied_again() -> None:
    image = decode(turned(6, "JPEG"), name="scene")
    assert decode(image, name="again") is image


def test_the_image_of_a_caller_is_left_as_it_is() -> None:
    with Image.open(BytesIO(turned(6, "PNG"))) as opened:
        opened.load()
        before = dict(opened.info)
        decode(opened, name="opened")
        assert (opened.size, opened.info) == ((24, 16), before)
