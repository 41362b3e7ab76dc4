"""How a single value is written in a table."""

from __future__ import annotations

from prunnet_export._numbers import significant
from prunnet_export.reports._report import Cell

UNKNOWN = "-"


def cell_text(value: Cell) -> str:
    """A cell as text.

    A float has three significant digits, see :func:`significant`. None is "-".
    """
    if value is None:
        return UNKNOWN
    if not isinstance(value, float):
        return str(value)
    return significant(value)


def is_numeric(values: list[Cell]) -> bool:
    """Whether a column is of numbers, which stand to the right."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) for value in known)
