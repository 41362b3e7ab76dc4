"""Text of files and machines that are not trusted."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without control characters, which would steer a terminal; line breaks are among them."""
    return "".join(filter(str.isprintable, text))
