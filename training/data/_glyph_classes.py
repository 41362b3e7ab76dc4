"""The characters of the glyphs data set: matplotlib's fonts draw them in enough faces, and no two look alike."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require

# Text faces only, because the STIX size variants and Computer Modern do not use the usual code points. Characters are
# compared in the first face.
FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
)
MIN_FACES = 12  # the number of DejaVu faces
CLASSES = 1000
# Of two characters with a larger cosine the later one is dropped. Accented letters reach 0.9 and are kept.
ALIKE = 0.93
# Letters, numbers, symbols, punctuation. Modifiers (Lm, Sk) are other characters in a smaller size, and the size of a
# rendered character is random.
CATEGORIES = frozenset({"Ll", "Lo", "Lt", "Lu", "Nd", "Nl", "No", "Pd", "Po", "Ps", "Sc", "Sm", "So"})
# Box drawing and block elements differ only in proportion and position, which the distortions change.
_EXCLUDED = range(0x2500, 0x25A0)
_SIDE = 20  # pixels, of the bitmaps that are compared


@dataclass(frozen=True)
class GlyphClass:
    """A character and the faces that draw it, as indices in ``FACES``."""

    code_point: int
    faces: tuple[int, ...]


def font_files() -> list[str]:
    """The font file of each face.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidInput: this matplotlib does not ship one of the fonts.
    """
    folder = Path(require("matplotlib", extra="train").get_data_path()) / "fonts" / "ttf"
    files = [folder / f"{face}.ttf" for face in FACES]
    for file in files:
        if not file.is_file():
            raise InvalidInput(f"{file}: matplotlib's font is missing", hint="pip install --force-reinstall matplotlib")
    return [str(file) for file in files]


def find_classes(files: Sequence[str]) -> list[GlyphClass]:
    """At most ``CLASSES`` characters, ordered by code point. They do not depend on the seed of the data set.

    At least ``MIN_FACES`` faces have the character, and in the first face it looks different from every earlier one:
    Latin A, Greek Alpha and Cyrillic A are one class, and so are C and c.
    """
    ft2font = require("matplotlib.ft2font", extra="train")
    mapped = [frozenset(ft2font.FT2Font(file).get_charmap()) for file in files]
    faces = Counter(code_point for one in mapped for code_point in one)
    font = ImageFont.truetype(files[0], 32, layout_engine=ImageFont.Layout.BASIC)
    kept: list[int] = []
    bitmaps = np.empty((0, _SIDE * _SIDE), np.float32)
    for code_point in sorted(mapped[0]):
        if faces[code_point] < MIN_FACES or code_point in _EXCLUDED:
            continue
        if unicodedata.category(chr(code_point)) not in CATEGORIES:
            continue
        bitmap = _bitmap(font, chr(code_point))
        if bitmap is None or bool((bitmaps[: len(kept)] @ bitmap > ALIKE).any()):
            continue
        if len(kept) == len(bitmaps):
            bitmaps = np.concatenate([bitmaps, np.empty((512, bitmaps.shape[1]), np.float32)])
        bitmaps[len(kept)] = bitmap
        kept.append(code_point)
    # They are spread evenly over the code points, so that every script and block of symbols is represented.
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(CLASSES, len(kept))).round().astype(int))
    return [GlyphClass(kept[i], tuple(face for face, points in enumerate(mapped) if kept[i] in points)) for i in chosen]


def draw_character(font: ImageFont.FreeTypeFont, character: str, *, stroke: int = 0) -> Image.Image | None:
    """The character as the font draws it, a grey image without a margin; None if it is blank.

    ``stroke`` is the number of pixels that are added to each side of a line.
    """
    left, top, right, bottom = (round(edge) for edge in font.getbbox(character, stroke_width=stroke))
    if right <= left or bottom <= top:
        return None
    drawn = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(drawn).text((-left, -top), character, fill=255, font=font, stroke_width=stroke)
    box = drawn.getbbox()
    return None if box is None else drawn.crop(box)


def _bitmap(font: ImageFont.FreeTypeFont, character: str) -> npt.NDArray[np.float32] | None:
    """The drawn character, scaled to fill a square, centred, with mean 0 and norm 1; None if it is blank."""
    drawn = draw_character(font, character)
    if drawn is None:
        return None
    scale = _SIDE / max(drawn.size)
    drawn = drawn.resize((max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))))
    square = Image.new("L", (_SIDE, _SIDE))
    square.paste(drawn, ((_SIDE - drawn.width) // 2, (_SIDE - drawn.height) // 2))
    values = np.asarray(square, np.float32).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return values / np.float32(norm) if norm > 0 else None  # the norm of a filled square is 0
