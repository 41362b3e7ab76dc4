"""Checks and error messages that all engines share."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput

LOAD_HINT = "it may be truncated, or written for another runtime; export it again"
"""The hint for a file that an engine cannot load."""

MATRIX_RANK = 2
"""A constant with at least so many dimensions counts as weights."""

_LINE = 160  # longest message of an engine that is shown, in characters


def check_file(file: Path) -> None:
    """Raise InvalidInput if a model file does not exist."""
    if not file.is_file():
        raise InvalidInput(f"{file}: no such model file", hint="check the path")


def check_threads(threads: int | None) -> int | None:
    """Return the number of threads; raise InvalidInput if it is not positive."""
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", hint="give 1 or more, or leave it to the engine")
    return threads


def refuse_threads(threads: int | None, engine: str) -> None:
    """Raise InvalidInput if a number of threads is given to an engine that has no such setting."""
    if check_threads(threads) is not None:
        raise InvalidInput(f"{engine} has no number of threads to set", hint="leave out --threads")


def one_line(error: BaseException) -> str:
    """The first line of an engine's message that states the cause, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("Exception from ", "Check '", "FrontEnd API "))]
    line = (causes or lines or [type(error).__name__])[0].rsplit(" : ", 1)[-1]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."
