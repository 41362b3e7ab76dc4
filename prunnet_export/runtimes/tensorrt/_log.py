"""TensorRT's log: collected, not printed, and searched for the layers that run sparse."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from prunnet_export._text import one_line

_MOST_LINES = 10_000
_SPARSITY = "(Sparsity)"
_COUNTED = re.compile(r"\(Sparsity\) (Found|Chose) (\d+) layer")
_LISTED = re.compile(r"\(Sparsity\) .*?(eligible for sparse math|picked sparse implementation for layers):(.*)")
_ELIGIBLE = {"Found", "eligible for sparse math"}
_DECORATION = re.compile(r"^(\[[^\]]*\]|\w+::\w+:|Error Code \d+:|\([^()]*\):)\s*")


@dataclass
class Log:
    """The messages of an engine since :meth:`clear`. Verbose ones are kept only if they are about sparsity."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    errors: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything."""
        self.lines.clear()
        self.errors.clear()

    def first_error(self) -> str:
        """The first error, in one short line."""
        return shorten(self.errors[0]) if self.errors else "it does not say why"


def shorten(message: str) -> str:
    """A message of an engine in one short line, without the codes and function names at its start."""
    line = " ".join(message.split())
    while (shorter := _DECORATION.sub("", line)) not in {line, ""}:
        line = shorter
    return one_line(Exception(line))


@cache
def find_logger(engine: Any) -> Any:
    """The one logger of an engine's module, which collects messages in ``.log_record``.

    A second logger would get nothing, because an engine uses the first one as long as any of its objects exists.
    """

    class Collector(engine.ILogger):  # type: ignore[misc]  # the engines are untyped
        def __init__(self) -> None:
            engine.ILogger.__init__(self)  # pybind11 needs this form in place of super()
            self.log_record = Log()

        def log(self, severity: Any, message: str) -> None:
            levels = engine.ILogger
            if severity in {levels.INTERNAL_ERROR, levels.ERROR}:
                self.log_record.errors.append(message)
            if severity != levels.VERBOSE or _SPARSITY in message:
                self.log_record.lines.append(message)

    return Collector()


@dataclass(frozen=True)
class SparseLayers:
    """How many layers have 2:4 weights, and how many run sparse kernels; None if the engine does not say."""

    eligible: int | None = None
    chosen: int | None = None


def sparse_layers(lines: Iterable[str]) -> SparseLayers:
    """Read the sparse layers from the log of a build, in the format of TensorRT 8 and 10 or of later versions.

    A build may report them more than once. The last report counts.
    """
    eligible = chosen = None
    for line in lines:
        if found := _COUNTED.search(line):
            count = int(found[2])
        elif found := _LISTED.search(line):
            count = len([name for name in found[2].split(", ") if name.strip()])
        else:
            continue
        if found[1] in _ELIGIBLE:
            eligible = count
        else:
            chosen = count
    return SparseLayers(eligible, chosen)
