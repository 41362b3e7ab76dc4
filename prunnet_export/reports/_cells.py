"""Cells of tables as text."""

from __future__ import annotations

from prunnet_export._numbers import significant
from prunnet_export.reports._report import Cell

UNKNOWN = "-"


def cell_text(value: Cell) -> str:
    """A cell as text. A float has three significant digits, see :func:`significant`. None is "-"."""
    if value is None:
        return UNKNOWN
    return significant(value) if isinstance(value, float) else str(value)


def is_numeric(values: list[Cell]) -> bool:
    """Whether all known values of a column are numbers, so that it is aligned to the right."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) for value in known)
