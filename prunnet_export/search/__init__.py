"""Budget search: candidates, and bisection on what was measured.

Names are imported at first use: finishing an artifact works where torch is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunnet_export.search._bisect import largest_inside
    from prunnet_export.search._candidates import ladder
    from prunnet_export.search._evidence import Evidence
    from prunnet_export.search._export import Export, Select
    from prunnet_export.search._finish import Finish
    from prunnet_export.search._outcome import Outcome

__all__ = [
    "Evidence",
    "Export",
    "Finish",
    "Outcome",
    "Select",
    "ladder",
    "largest_inside",
]

_ROOMS = {
    "Evidence": "_evidence",
    "Export": "_export",
    "Finish": "_finish",
    "Outcome": "_outcome",
    "Select": "_export",
    "ladder": "_candidates",
    "largest_inside": "_bisect",
}


if not TYPE_CHECKING:  # a type checker that sees this would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
