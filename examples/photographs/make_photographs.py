"""Make a data set of photographs for instance retrieval from Debian's package ``tuxpaint-stamps-default``.

The stamps are pictures of single things with a transparent background. Every picture is an instance of its own. Every
third photograph is an instance of the test. Training shows the other photographs and the drawings. The result has the
layout ``folder``: ``train/INSTANCE/*.jpg``, ``gallery/INSTANCE/*.jpg``, ``query/INSTANCE/*.jpg``.

``--cliparts`` adds other pictures with transparency to the training, such as those of Debian's ``openclipart-png``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

STAMPS = Path("/usr/share/tuxpaint/stamps")
SIDE = 192
_LEAST_SIDE = 40
# Kinds of drawings, and of pictures that look alike. They are no test, but there is something to learn from them.
_DRAWN = {
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
_TESTED = 3  # every third photograph
_PLAIN, _IN_TRAINING = 4, 20  # views of an instance: the first ones are plain, the rest are distorted
_IN_GALLERY, _QUERIES = 3, 8
_OF_CLIPART = 4  # views; the first one is plain
_CLIPART_SIDE, _CLIPART_PIXELS = 400, 4_000_000  # they are scaled down to this side; larger files are left out
_BEHIND = 300  # cliparts that may be in the surroundings of the next one
_HALF = 0.5


def main() -> None:
    """Read the command line and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--stamps", type=Path, default=STAMPS, help="folder of the stamps (default: %(default)s)")
    parser.add_argument("--cliparts", type=Path, help="folder of PNG files to learn from too")
    options = parser.parse_args()
    if not options.stamps.is_dir():
        parser.error(f"{options.stamps} does not exist; apt-get install tuxpaint-stamps-default brings it")
    if options.out.exists():
        parser.error(f"{options.out} exists; give a new folder")
    if options.cliparts is not None and not options.cliparts.is_dir():
        parser.error(f"{options.cliparts} does not exist; apt-get install openclipart-png brings one")
    make(options.stamps, options.out)
    if options.cliparts is not None:
        add_cliparts(options.cliparts, options.out)


def make(stamps: Path, out: Path) -> None:
    """Write ``train``, ``gallery`` and ``query``. The result depends only on the stamps and the version of Pillow."""
    files = [file for file in sorted(stamps.rglob("*.png")) if not file.stem.endswith("_mirror")]
    found = {file: stamp for file in files if (stamp := _opened(file)) is not None}
    photographs = [file for file in found if _DRAWN.isdisjoint(file.relative_to(stamps).parts[:-1])]
    tested = photographs[::_TESTED]
    learned = [file for file in found if file not in tested]

    def write(split: str, file: Path, views: Iterator[Image.Image]) -> None:
        instance = out / split / "-".join(file.relative_to(stamps).with_suffix("").parts)
        instance.mkdir(parents=True)
        for index, view in enumerate(views):
            view.save(instance / f"{index:02}.jpg", quality=92)

    generator = np.random.default_rng(0)
    others = [found[file] for file in learned]
    for file in learned:
        views = (
            _plain(found[file], generator) if index < _PLAIN else _distorted(found[file], generator, others)
            for index in range(_IN_TRAINING)
        )
        write("train", file, views)
    generator = np.random.default_rng(1)
    for file in tested:
        write("gallery", file, (_plain(found[file], generator) for _ in range(_IN_GALLERY)))
        write("query", file, (_distorted(found[file], generator, []) for _ in range(_QUERIES)))


def add_cliparts(folder: Path, out: Path) -> None:
    """Write views of the PNG files in a folder into ``train``. Small, very large and unreadable files are left out."""
    generator = np.random.default_rng(7)
    others: list[Image.Image] = []
    for file in sorted(folder.rglob("*.png")):
        picture = _clipart(file)
        if picture is None:
            continue
        instance = out / "train" / ("clip-" + "-".join(file.relative_to(folder).with_suffix("").parts))
        instance.mkdir(parents=True, exist_ok=True)
        for index in range(_OF_CLIPART):
            view = _distorted(picture, generator, others) if index else _plain(picture, generator)
            view.save(instance / f"{index:02}.jpg", quality=92)
        others = [*others, picture][-_BEHIND:]


def _clipart(file: Path) -> Image.Image | None:
    """A clipart without its transparent margin; None if it is left out."""
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > _CLIPART_PIXELS:
                return None
            picture = opened.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    picture.thumbnail((_CLIPART_SIDE, _CLIPART_SIDE))
    return _without_margin(picture)


def _opened(file: Path) -> Image.Image | None:
    """A stamp without its transparent margin; None if it is small."""
    with Image.open(file) as opened:
        return _without_margin(opened.convert("RGBA"))


def _without_margin(picture: Image.Image) -> Image.Image | None:
    """The picture without its transparent margin; None if it is small."""
    box = picture.getchannel("A").getbbox()
    if box is None or min(picture.crop(box).size) < _LEAST_SIDE:
        return None
    return picture.crop(box)


def _plain(stamp: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The stamp on white, a little turned, scaled and moved."""
    white = Image.new("RGB", (SIDE, SIDE), "white")
    return _placed(stamp, white, generator, angle=5, scale=(0.85, 0.95), shift=0.02)


def _distorted(stamp: Image.Image, generator: np.random.Generator, others: Sequence[Image.Image]) -> Image.Image:
    """The stamp as a poor camera would see it: other surroundings, another light, blurred, turned, compressed.

    Half of the surroundings show a part of one of the other stamps, if there are any.
    """
    first, last = generator.integers(40, 256, 3), generator.integers(40, 256, 3)
    ramp = np.linspace(0, 1, SIDE)[:, None, None]
    if generator.random() < _HALF:
        ramp = ramp.transpose(1, 0, 2)
    image = Image.fromarray((first * (1 - ramp) + last * ramp + np.zeros((SIDE, SIDE, 3))).astype(np.uint8))
    if others and generator.random() < _HALF:
        other = others[int(generator.integers(len(others)))]
        image = _placed(other, image, generator, angle=180, scale=(1.2, 3), shift=0.5)
    image = _placed(stamp, image, generator, angle=25, scale=(0.7, 1.15), shift=0.12)
    image = ImageEnhance.Brightness(image).enhance(generator.uniform(0.55, 1.3))
    image = ImageEnhance.Color(image).enhance(generator.uniform(0.4, 1.4))
    image = ImageEnhance.Contrast(image).enhance(generator.uniform(0.6, 1.3))
    if generator.random() < _HALF:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 2.5)))
    compressed = io.BytesIO()
    image.save(compressed, "JPEG", quality=int(generator.integers(15, 70)))
    with Image.open(compressed) as opened:
        return opened.convert("RGB")


def _placed(
    stamp: Image.Image,
    surroundings: Image.Image,
    generator: np.random.Generator,
    *,
    angle: float,
    scale: tuple[float, float],
    shift: float,
) -> Image.Image:
    """Put a stamp into surroundings, at random within these limits: degrees, share of the side, share of the side."""
    canvas = surroundings.copy()
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
