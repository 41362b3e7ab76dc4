"""Looking through the codes of a pickle that is not trusted, before anything takes memory for what it announces."""

from __future__ import annotations

import pickletools
import warnings
from typing import BinaryIO

_NAMES = {"GLOBAL", "INST", "PERSID"}
_LONGEST_NAME = 1000
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}


def check_pickle(content: bytes | BinaryIO) -> None:
    """Raise ValueError if a pickle would take memory that its size does not explain.

    Python's pickle makes its list of remembered values as long as the greatest number in it. So a number has to be
    smaller than the count of codes before it. A text or number that is longer than the rest of the pickle is refused by
    :func:`pickletools.genops`.

    Args:
        content: The pickle; what follows it in a file is not looked at, and the file is left at that place.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of an unknown escape in a text
        for count, (code, argument, _position) in enumerate(pickletools.genops(content)):
            if code.name in _PUTS and isinstance(argument, int) and not 0 <= argument <= count:
                raise ValueError(f"it remembers a value as number {argument}, after {count} codes")
            # torch searches its own message with a pattern that takes quadratic time for a long name.
            if code.name in _NAMES and len(str(argument)) > _LONGEST_NAME:
                raise ValueError("it holds a name that is too long")
