"""How a single value is written in a table."""

from __future__ import annotations

import math

from prunnet_export.reports._report import Cell

UNKNOWN = "-"
_DIGITS = 3


def cell_text(value: Cell) -> str:
    """A cell as text.

    A float has three significant digits, and all digits before its decimal point: 0.0123, 4.57, 12.3, 1234.
    Trailing zeros are kept, for they are digits that were measured: 2.00. From one millionth downwards it has
    an exponent. Zero is 0. None is "-".
    """
    if value is None:
        return UNKNOWN
    if not isinstance(value, float):
        return str(value)
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    # The exponent after rounding: 9.996 is 10.0 and not 10.00.
    exponent = int(f"{value:.{_DIGITS - 1}e}".rpartition("e")[2])
    if exponent <= -6:  # noqa: PLR2004  # where a row of zeros is harder to read than an exponent
        return f"{value:.{_DIGITS - 1}e}"
    return f"{value:.{max(0, _DIGITS - 1 - exponent)}f}"


def is_numeric(values: list[Cell]) -> bool:
    """Whether a column is of numbers, which stand to the right."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) for value in known)
