"""The result of a command as a value that does not depend on the output format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prunnet_export.reports._plot import Plot

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        title: Title of the table.
        columns: Names of the columns, with their units.
        rows: Rows with one cell for each column; None means "not known".
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
    """A check with its result.

    Attributes:
        name: Name of the check.
        passed: Whether it passed.
        message: The figure and its threshold, in one line.
    """

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Failure:
    """Something that could not be checked or made, because of an error.

    Attributes:
        name: What it is, e.g. the folder of an artifact.
        message: What is wrong and why, in one line.
        hint: What the user can do about it, in one line; may be empty.
        exit_code: The exit code of the error.
    """

    name: str
    message: str
    hint: str
    exit_code: int

    @property
    def text(self) -> str:
        """The message and the hint in one line."""
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


@dataclass(frozen=True)
class Skip:
    """Something that was not checked, because what it needs is not there now. That is no error and no success.

    Attributes:
        name: What it is, e.g. an artifact on a device.
        message: The reason, in one line.
        hint: What the user can do about it, in one line; may be empty.
    """

    name: str
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        """The message and the hint in one line."""
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


@dataclass(frozen=True)
class Report:
    """The result of a command, for any output format.

    Attributes:
        title: Title of the report.
        tables: Tables for people.
        checks: Checks for people and for continuous integration.
        document: All results for programs; ``json`` prints it.
        footer: The last lines, e.g. the artifact and the next command.
        failures: What could not be checked or made. ``json`` adds it to the document as ``errors``, if there is any.
        skips: What was not checked. ``json`` adds it to the document as ``skipped``, if there is any.
        plots: Plots for people at a terminal, between the checks and the footer.
    """

    title: str
    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    document: dict[str, Any] = field(default_factory=dict)
    footer: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    skips: tuple[Skip, ...] = ()
    plots: tuple[Plot, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check was made, and passed."""
        return not self.failures and not self.skips and all(check.passed for check in self.checks)
