"""The exceptions that this package raises.

::

    PrunnetError                  a message of one line, a hint, an exit code
    ├── GateFailed           1    the artifact was made, but a gate failed
    │   └── VerificationFailed    the exported file failed its verification
    ├── UsageError           2    the command or the input is wrong
    │   ├── InvalidInput          a file, image, tensor or number is not valid
    │   ├── UnknownName           no such target, runtime, pattern, data set or network
    │   ├── UnsupportedPattern    this network cannot be cut in this pattern
    │   ├── UnsupportedPrecision  this machine cannot compute in this precision
    │   ├── MissingExtra          an optional dependency is not installed
    │   └── StorageError          the disk is full, read-only, or another process writes there
    ├── Unreachable          3    a device, its runtime or another process does not answer now
    │   └── PeerFailed            another process of the same training failed and reported why
    └── Interrupted        130    Ctrl-C or a termination signal
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

_LISTED, _CLOSE = 50, 3  # known names that a hint lists; those that it lists if there are more


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
    """A gate (budget or verification) failed."""

    exit_code = 1


class VerificationFailed(GateFailed):
    """The exported file failed its verification."""


class UsageError(PrunnetError):
    """The command, the configuration or the input is wrong."""

    exit_code = 2


class InvalidInput(UsageError):
    """A file, image, tensor or number is not valid."""


class UnknownName(UsageError):
    """A name that is not known.

    Args:
        kind: The kind of thing that was looked for, e.g. ``"target"``.
        name: The name that was given.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = get_close_matches(name, known, n=_CLOSE)
        hint = f"did you mean {close[0]!r}? " if close else ""
        if len(known) > _LISTED:  # such as the architectures of timm, which would fill the terminal
            some = close or known[:_CLOSE]
            hint += f"known: {', '.join(some)} and {len(known) - len(some)} others"
        else:
            hint += f"known: {', '.join(known) if known else 'none is installed'}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class UnsupportedPattern(UsageError):
    """This network cannot be cut in this pattern."""


class UnsupportedPrecision(UsageError):
    """This machine cannot compute in this precision."""


class MissingExtra(UsageError):
    """An optional dependency is not installed.

    Args:
        module: The module that could not be imported.
        extra: The extra of this package that installs it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed", hint=f"pip install 'prunnet-export[{extra}]'")


class StorageError(UsageError):
    """A file or folder cannot be written or read."""


class Unreachable(PrunnetError):
    """A device, a runtime or another process does not answer now."""

    exit_code = 3


class PeerFailed(Unreachable):
    """Another process of the same training failed and reported why."""


class Interrupted(PrunnetError):
    """The user or the system asked to stop."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    # torch's error is recognised by its name, because torch may not be installed.
    named = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and named)
