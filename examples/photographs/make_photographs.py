"""Make a data set of photographs for instance retrieval from Debian's package ``tuxpaint-stamps-default``.

The stamps are photographs of single things with a transparent background. Every picture is an instance of its own. The
instances of the test are of kinds that the training images do not show: food, tools, instruments, planets, monuments.
The result has the layout ``folder``: ``train/INSTANCE/*.jpg``, ``gallery/INSTANCE/*.jpg``, ``query/INSTANCE/*.jpg``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

STAMPS = Path("/usr/share/tuxpaint/stamps")
SIDE = 192
_LEAST_SIDE = 40
# Folders of drawings, and of pictures that look alike.
_LEFT_OUT = {
    "cartoon",
    "symbols",
    "naturalforces",
    "sports",
    "people",
    "clothes",
    "medical",
    "roadsigns",
    "flags",
    "halloween",
    "newyears",
    "hanukkah",
    "easter",
    "winter",
    "ammunition",
}
_TEST_ONLY = {"food", "household", "hobbies", "space", "military", "monuments"}
_PLAIN, _IN_TRAINING = 4, 40  # views of an instance: the first ones are plain, the rest are distorted
_IN_GALLERY, _QUERIES = 3, 6


def main() -> None:
    """Read the command line and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--stamps", type=Path, default=STAMPS, help="folder of the stamps (default: %(default)s)")
    options = parser.parse_args()
    if not options.stamps.is_dir():
        parser.error(f"{options.stamps} does not exist; apt-get install tuxpaint-stamps-default brings it")
    if options.out.exists():
        parser.error(f"{options.out} exists; give a new folder")
    make(options.stamps, options.out)


def make(stamps: Path, out: Path) -> None:
    """Write ``train``, ``gallery`` and ``query``. The result depends only on the stamps and the version of Pillow."""
    found = [(file, set(file.relative_to(stamps).parts[:-1])) for file in sorted(stamps.rglob("*.png"))]
    chosen = [(file, kinds) for file, kinds in found if not kinds & _LEFT_OUT and not file.stem.endswith("_mirror")]
    generator = np.random.default_rng(0)
    for file, kinds in chosen:
        if not kinds & _TEST_ONLY:
            _save(file, stamps, out / "train", generator, [index >= _PLAIN for index in range(_IN_TRAINING)])
    for file, kinds in chosen:
        if kinds & _TEST_ONLY:
            _save(file, stamps, out / "gallery", generator, [False] * _IN_GALLERY)
            _save(file, stamps, out / "query", generator, [True] * _QUERIES)


def _save(file: Path, stamps: Path, folder: Path, generator: np.random.Generator, distorted: list[bool]) -> None:
    """Write the views of one stamp, if it is large enough and not transparent everywhere."""
    with Image.open(file) as opened:
        stamp = opened.convert("RGBA")
    box = stamp.getchannel("A").getbbox()
    if box is None or min(stamp.crop(box).size) < _LEAST_SIDE:
        return
    instance = folder / "-".join(file.relative_to(stamps).with_suffix("").parts)
    instance.mkdir(parents=True)
    for index, view in enumerate(_views(stamp.crop(box), generator, distorted)):
        view.save(instance / f"{index:02}.jpg", quality=92)


def _views(stamp: Image.Image, generator: np.random.Generator, distorted: list[bool]) -> Iterator[Image.Image]:
    for one in distorted:
        yield _distorted(stamp, generator) if one else _plain(stamp, generator)


def _plain(stamp: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The stamp on white, a little turned, scaled and moved."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    return _placed(stamp, white, generator, angle=5, scale=(0.85, 0.95), shift=0.02)


def _distorted(stamp: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The stamp as a poor camera would see it: other surroundings, another light, blurred, turned, compressed."""
    first, last = generator.integers(40, 256, 3), generator.integers(40, 256, 3)
    ramp = np.linspace(0, 1, SIDE)[:, None, None]
    if generator.random() < 0.5:  # noqa: PLR2004
        ramp = ramp.transpose(1, 0, 2)
    surroundings = (first * (1 - ramp) + last * ramp + np.zeros((SIDE, SIDE, 3))).astype(np.uint8)
    image = _placed(stamp, surroundings, generator, angle=25, scale=(0.7, 1.15), shift=0.12)
    image = ImageEnhance.Brightness(image).enhance(generator.uniform(0.55, 1.3))
    image = ImageEnhance.Color(image).enhance(generator.uniform(0.4, 1.4))
    image = ImageEnhance.Contrast(image).enhance(generator.uniform(0.6, 1.3))
    if generator.random() < 0.5:  # noqa: PLR2004
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 2.5)))
    compressed = io.BytesIO()
    image.save(compressed, "JPEG", quality=int(generator.integers(15, 70)))
    with Image.open(compressed) as opened:
        return opened.convert("RGB")


def _placed(
    stamp: Image.Image,
    surroundings: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    generator: np.random.Generator,
    *,
    angle: float,
    scale: tuple[float, float],
    shift: float,
) -> Image.Image:
    canvas = Image.fromarray(surroundings)
    turned = stamp.rotate(generator.uniform(-angle, angle), Image.Resampling.BICUBIC, expand=True)
    factor = SIDE * generator.uniform(*scale) / max(turned.size)
    turned = turned.resize(
        (max(1, int(turned.width * factor)), max(1, int(turned.height * factor))), Image.Resampling.BICUBIC
    )
    left = int((SIDE - turned.width) / 2 + generator.uniform(-shift, shift) * SIDE)
    top = int((SIDE - turned.height) / 2 + generator.uniform(-shift, shift) * SIDE)
    canvas.paste(turned, (left, top), turned)
    return canvas


if __name__ == "__main__":
    main()
