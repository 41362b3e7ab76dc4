"""What a command found out, before anybody decides how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        title: What the table shows.
        columns: Names; with the unit, where there is one.
        rows: As many cells each as there are columns; None is "not known".
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns")


@dataclass(frozen=True)
class Check:
    """A gate that held or did not.

    Attributes:
        name: What was checked.
        passed: Whether it held.
        message: The figure and its threshold, in one line.
    """

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Report:
    """What a command prints, in any format.

    Attributes:
        title: What was done.
        tables: For people.
        checks: For people and for continuous integration.
        document: Everything, for programs; what ``json`` prints.
        footer: The last lines: the artifact and the next command.
    """

    title: str
    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    document: dict[str, Any] = field(default_factory=dict)
    footer: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)
