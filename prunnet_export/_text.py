"""Safe printing of text from files and machines that are not trusted."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal. Line breaks are removed too."""
    return "".join(filter(str.isprintable, text))
