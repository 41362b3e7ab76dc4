"""Checks and error messages that all engines share."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._cores import threads_under_quota
from prunnet_export._errors import InvalidInput
from prunnet_export._limits import MODEL_BYTES

LOAD_HINT = "it may be truncated, or written for another runtime; export it again"
"""The hint for a file that an engine cannot load."""

MATRIX_RANK = 2
"""A constant with at least so many dimensions counts as weights."""


def check_file(file: Path) -> None:
    """Raise InvalidInput if a model file does not exist, or is larger than any model."""
    if not file.is_file():
        raise InvalidInput(f"{file}: no such model file", hint="check the path")
    if file.stat().st_size > MODEL_BYTES:
        raise InvalidInput(f"{file}: larger than any model", hint=LOAD_HINT)


def check_threads(threads: int | None) -> int | None:
    """Return the number of threads; raise InvalidInput if it is not positive."""
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", hint="give 1 or more, or leave it to the engine")
    return threads


def engine_threads(threads: int | None, *, default: int | None = None) -> int | None:
    """The number of threads to give to an engine that executes on the processor.

    Engines know nothing of CPU quotas. With a quota of half a core, two threads take twice as long as one.

    Args:
        threads: The number that was asked for; it is taken as it is.
        default: The number that the engine takes by itself; None if that is one for each core.

    Returns:
        The number; None leaves it to the engine, which is right where no quota is below the cores.

    Raises:
        InvalidInput: the number is not positive.
    """
    limit = threads_under_quota()
    if check_threads(threads) is not None or limit is None:
        return threads
    return limit if default is None else min(limit, default)


def refuse_threads(threads: int | None, engine: str) -> None:
    """Raise InvalidInput if a number of threads is given to an engine that has no such setting."""
    if check_threads(threads) is not None:
        raise InvalidInput(f"{engine} has no number of threads to set", hint="leave out --threads")
