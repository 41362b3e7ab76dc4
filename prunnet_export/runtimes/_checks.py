"""What engines check alike, and how they say what is wrong."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput

LOAD_HINT = "it may be truncated, or written for another runtime; export it again"
"""The hint for a file that an engine cannot load."""

MATRIX_RANK = 2
"""Dimensions from which on a constant counts as weights."""

_LINE = 160  # characters of an engine's message that are shown


def check_file(file: Path) -> None:
    """Refuse a model file that is not there, as InvalidInput."""
    if not file.is_file():
        raise InvalidInput(f"{file}: no such model file", hint="check the path")


def check_threads(threads: int | None) -> int | None:
    """The number of threads; one that is not positive is refused as InvalidInput."""
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", hint="give 1 or more, or leave it to the engine")
    return threads


def refuse_threads(threads: int | None, engine: str) -> None:
    """Refuse a number of threads for an engine that has none to set, as InvalidInput."""
    if check_threads(threads) is not None:
        raise InvalidInput(f"{engine} has no number of threads to set", hint="leave out --threads")


def one_line(error: BaseException) -> str:
    """The line of an engine's message that says something, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from ", "Check '", "FrontEnd API "))]
    line = (telling or lines or [type(error).__name__])[0].rsplit(" : ", 1)[-1]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."
