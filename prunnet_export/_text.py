"""Safe printing of text from files and machines that are not trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_SURROGATES = re.compile("[\ud800-\udfff]")
_LINE = 160  # longest message of an engine that is shown, in characters


def shown(path: str | os.PathLike[str]) -> str:
    """A path, or any text, that can be encoded: a byte of a file name that is not UTF-8 becomes ``\\xNN``.

    Python holds such a byte as a surrogate, which no file and no terminal takes.
    """
    return _SURROGATES.sub(lambda found: _escape(ord(found[0])), os.fspath(path))


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal. Line breaks are removed too."""
    return "".join(filter(str.isprintable, shown(text)))


def one_line(error: BaseException) -> str:
    """The first line of an engine's message that states the cause, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("Exception from ", "Check '", "FrontEnd API "))]
    line = (causes or lines or [type(error).__name__])[0].rsplit(" : ", 1)[-1]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."


def _escape(code: int) -> str:
    """A surrogate as text: those from U+DC80 on stand for the bytes from 0x80 on."""
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004  # see above


def first_of(names: Sequence[str], count: int = 3) -> str:
    """The first names, and how many others there are."""
    others = len(names) - count
    return ", ".join(names[:count]) + (f" and {others} more" if others > 0 else "")


def interval_text(interval: tuple[float, float] | None) -> str | None:
    """The interval of a share, in per cent; None if there is none."""
    return None if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
