"""Messages of clients without the token that they may repeat."""

from __future__ import annotations

from prunnet_export._text import one_line, printable
from prunnet_export.gallery_address import GalleryAddress


def without_token(error: BaseException, address: GalleryAddress) -> str:
    """The first line of a client's error, with three dots in place of the token."""
    text, token = one_line(error), address.token
    return printable(text.replace(token, "...") if token else text)
