"""Every exception that this package raises on purpose.

::

    PrunnetError                  one line that says what and why, one hint, one exit code
    ├── GateFailed           1    the artifact was made and does not hold
    │   └── VerificationFailed    the exported file does not match the dense gallery
    ├── UsageError           2    what was asked for cannot be done as asked
    │   ├── InvalidInput          a file, image, tensor or number is not what it has to be
    │   ├── UnknownName           no such target, runtime, pattern, data set or network
    │   ├── UnsupportedPattern    this network cannot be cut in this pattern
    │   ├── UnsupportedPrecision  this machine does not execute in this precision
    │   ├── MissingExtra          an optional dependency is not installed
    │   └── StorageError          the disk is full, read-only, or somebody else writes there
    ├── Unreachable          3    a device, its runtime or another process does not answer now
    │   └── PeerFailed            another of the processes that train together failed, and says why
    └── Interrupted        130    Ctrl-C or a termination signal
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class PrunnetError(Exception):
    """An error that is shown as one line and one hint.

    Args:
        message: What is wrong and why, in one line.
        hint: What the user can do about it, in one line.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class GateFailed(PrunnetError):
    """A gate (budget or verification) did not hold."""

    exit_code = 1


class VerificationFailed(GateFailed):
    """The exported file does not hold against the dense gallery."""


class UsageError(PrunnetError):
    """Usage, configuration or input that cannot be worked with."""

    exit_code = 2


class InvalidInput(UsageError):
    """A file, image, tensor or number is not what it has to be."""


class UnknownName(UsageError):
    """A name that nothing answers to.

    Args:
        kind: What was looked for, e.g. ``"target"``.
        name: The name that was given.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        hint += f"known: {', '.join(known) if known else 'none is installed'}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class UnsupportedPattern(UsageError):
    """This network cannot be cut in this pattern."""


class UnsupportedPrecision(UsageError):
    """This machine does not execute in this precision."""


class MissingExtra(UsageError):
    """An optional dependency is not installed.

    Args:
        module: The import that failed.
        extra: The extra of this package that brings it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed", hint=f"pip install 'prunnet-export[{extra}]'")


class StorageError(UsageError):
    """A file or folder cannot be written or read."""


class Unreachable(PrunnetError):
    """A device, a runtime or another process does not answer now."""

    exit_code = 3


class PeerFailed(Unreachable):
    """Another of the processes that train together failed, and says why."""


class Interrupted(PrunnetError):
    """The user or the system asked to stop."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    torch's own error is told by its name: this module is loaded where torch is not installed.
    """
    named = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and named)
