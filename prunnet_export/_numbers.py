"""The format of numbers in tables, model cards and messages."""

from __future__ import annotations

import math

_DIGITS = 3


def significant(value: float) -> str:
    """A number with three significant digits, and all digits before its decimal point: 0.0123, 4.57, 12.3, 1234.

    Trailing zeros are kept, because they were measured: 2.00. A number below about 1e-5 has an exponent. Zero is 0.
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    # The exponent is taken after rounding, so that 9.996 becomes 10.0 and not 10.00.
    exponent = int(f"{value:.{_DIGITS - 1}e}".rpartition("e")[2])
    if exponent <= -6:  # noqa: PLR2004  # an exponent is easier to read than many zeros
        return f"{value:.{_DIGITS - 1}e}"
    return f"{value:.{max(0, _DIGITS - 1 - exponent)}f}"


def percent(capacity: float) -> str:
    """A capacity in percent, without digits that say nothing: 5%, 7.5%, 100%."""
    return f"{100 * capacity:.4g}%"
