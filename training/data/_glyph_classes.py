"""Which characters the fonts of matplotlib draw in enough faces, without those that look alike."""

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

# Text faces only: the STIX size variants and Computer Modern number their glyphs in ways of their own. The
# first face is the one in which characters are compared.
FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
)
MIN_FACES = 12  # all of DejaVu
CLASSES = 1000
# Cosine between two characters of which the later one is dropped. Accented letters reach 0.9 and stay.
ALIKE = 0.93
# Letters, numbers, symbols, punctuation. Modifiers (Lm, Sk) are other characters made smaller, and size is no
# cue.
CATEGORIES = frozenset({"Ll", "Lo", "Lt", "Lu", "Nd", "Nl", "No", "Pd", "Po", "Ps", "Sc", "Sm", "So"})
# Box drawing and block elements differ in proportion and position, which the distortions change.
_EXCLUDED = range(0x2500, 0x25A0)
_SIDE = 20  # pixels, of the bitmaps that are compared


@dataclass(frozen=True)
class GlyphClass:
    """A character and the faces that draw it, as positions in ``FACES``."""

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


def discover(files: Sequence[str]) -> list[GlyphClass]:
    """At most ``CLASSES`` characters, ordered by code point, the same ones whatever the seed.

    A character qualifies if ``MIN_FACES`` faces map it and the first face draws it differently from every
    character before it (Latin A, Greek Alpha and Cyrillic A are one class, and so are C and c).
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
    # Evenly over the code points, so that every script and block of symbols is represented.
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(CLASSES, len(kept))).round().astype(int))
    return [GlyphClass(kept[i], tuple(face for face, points in enumerate(mapped) if kept[i] in points)) for i in chosen]


def ink(font: ImageFont.FreeTypeFont, character: str, *, stroke: int = 0) -> Image.Image | None:
    """What the font draws for the character, "L", without a margin; None if that is blank.

    ``stroke`` is by how many pixels the lines grow to either side.
    """
    left, top, right, bottom = (round(edge) for edge in font.getbbox(character, stroke_width=stroke))
    if right <= left or bottom <= top:
        return None
    drawn = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(drawn).text((-left, -top), character, fill=255, font=font, stroke_width=stroke)
    box = drawn.getbbox()
    return None if box is None else drawn.crop(box)


def _bitmap(font: ImageFont.FreeTypeFont, character: str) -> npt.NDArray[np.float32] | None:
    """The character's ink, scaled to fill a square, centred, with mean 0 and norm 1; None if it is blank."""
    drawn = ink(font, character)
    if drawn is None:
        return None
    scale = _SIDE / max(drawn.size)
    drawn = drawn.resize((max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))))
    square = Image.new("L", (_SIDE, _SIDE))
    square.paste(drawn, ((_SIDE - drawn.width) // 2, (_SIDE - drawn.height) // 2))
    values = np.asarray(square, np.float32).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return values / np.float32(norm) if norm > 0 else None  # a full square has no contrast to compare
