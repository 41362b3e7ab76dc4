"""From one prunable network to a verified artifact inside a device's millisecond budget.

::

    import prunnet_export

    model = prunnet_export.load("dist/jetson")
    embeddings = model.embed(["query.jpg"])  # float32 [1, dim]

A name is imported when it is first used. Importing this package imports no numpy, no torch and no runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunnet_export._errors import (
        GateFailed,
        Interrupted,
        InvalidInput,
        MissingExtra,
        PrunnetError,
        StorageError,
        UnknownName,
        Unreachable,
        UnsupportedPattern,
        UsageError,
        VerificationFailed,
    )
    from prunnet_export.artifact import LoadedArtifact, load

    __version__: str

__all__ = [
    "GateFailed",
    "Interrupted",
    "InvalidInput",
    "LoadedArtifact",
    "MissingExtra",
    "PrunnetError",
    "StorageError",
    "UnknownName",
    "Unreachable",
    "UnsupportedPattern",
    "UsageError",
    "VerificationFailed",
    "__version__",
    "load",
]

_MODULES = {"LoadedArtifact": "prunnet_export.artifact", "load": "prunnet_export.artifact"}


if not TYPE_CHECKING:  # a type checker that sees __getattr__ accepts every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            from importlib.metadata import version

            return version("prunnet-export")
        from importlib import import_module

        return getattr(import_module(_MODULES.get(name, "prunnet_export._errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
