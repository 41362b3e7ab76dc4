"""Safe printing of text from files and machines that are not trusted."""

from __future__ import annotations

from collections.abc import Sequence

_LINE = 160  # longest message of an engine that is shown, in characters


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal. Line breaks are removed too."""
    return "".join(filter(str.isprintable, text))


def one_line(error: BaseException) -> str:
    """The first line of an engine's message that states the cause, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("Exception from ", "Check '", "FrontEnd API "))]
    line = (causes or lines or [type(error).__name__])[0].rsplit(" : ", 1)[-1]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."


def first_of(names: Sequence[str], count: int = 3) -> str:
    """The first names, and how many others there are."""
    others = len(names) - count
    return ", ".join(names[:count]) + (f" and {others} more" if others > 0 else "")
