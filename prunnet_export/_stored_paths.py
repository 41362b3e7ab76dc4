"""Paths in JSON. A file name is bytes, and JSON holds only text that is valid Unicode.

A byte that is not UTF-8 is written as a null character and two hexadecimal digits, because no path holds a null
character. All other paths are written as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from prunnet_export._errors import InvalidInput

_BYTE = re.compile("[\udc80-\udcff]")  # how Python holds such a byte
_STORED_BYTE = re.compile("\0([89a-f][0-9a-f])")


def stored_path(path: str | os.PathLike[str]) -> str:
    """The path as text for JSON."""
    return _BYTE.sub(lambda found: f"\0{ord(found[0]) - 0xDC00:02x}", os.fspath(path))


def path_from_stored(text: str) -> str:
    """The path that :func:`stored_path` made a text of."""
    return _STORED_BYTE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def check_utf8(file: Path) -> None:
    """Raise InvalidInput if a path is not UTF-8. For libraries that open no other paths."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{file}: this path is not UTF-8, and the library that opens the file takes no other",
            hint="rename the file or its folder",
        ) from None
