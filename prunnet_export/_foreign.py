"""Code of other packages: whatever it raises becomes one error that names it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prunnet_export._errors import PrunnetError, UsageError, is_out_of_memory

C = TypeVar("C", bound=type)

_OURS = f"{__name__.partition('.')[0]}."


@contextmanager
def foreign_code(what: str, hint: str, *, error: type[UsageError] = UsageError) -> Iterator[None]:
    """Turn what the code of another package raises into one error, also an attempt to end the program.

    Our own errors, Ctrl-C and a lack of memory stay what they are.

    Args:
        what: What the code does, and for whom, to begin the message with.
        hint: The hint of the message.
        error: The kind of the error.

    Raises:
        UsageError: the code raised something else.
    """
    try:
        yield
    except (PrunnetError, KeyboardInterrupt, MemoryError, GeneratorExit):
        raise
    except BaseException as raised:  # it may raise SystemExit
        if is_out_of_memory(raised):
            raise
        raise error(f"{what}: {_reason(raised)}", hint=hint) from raised


def _reason(error: BaseException) -> str:
    line = (str(error).splitlines() or [""])[0]
    if isinstance(error, Exception) and line:
        return line
    return f"{type(error).__name__} {line}".strip()


def is_ours(kind: type) -> bool:
    """Whether a class is defined in this package."""
    return kind.__module__.startswith(_OURS)


def guarded(kind: C, interface: type, what: str, hint: str) -> C:
    """A class of another package, as a subclass of itself in which each method of an interface is foreign code.

    Args:
        kind: The class. If it is ours, it is returned as it is.
        interface: The class that declares the methods.
        what: What the class is, to begin messages with.
        hint: The hint of messages.
    """
    if is_ours(kind):
        return kind
    methods = {
        name: _guard(getattr(kind, name), f"{what}, {name}()", hint)
        for name, value in vars(interface).items()
        if not name.startswith("_") and callable(value) and hasattr(kind, name)
    }
    made: Any = type(kind.__name__, (kind,), {**methods, "__module__": kind.__module__, "__doc__": kind.__doc__})
    return cast("C", made)


def _guard(method: Callable[..., Any], what: str, hint: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with foreign_code(what, hint):
            return method(*args, **kwargs)

    return call
