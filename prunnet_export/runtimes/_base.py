"""What a runtime is to this package: it compiles on the host and drives on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._imports import plugin
from prunnet_export.runtimes._session import Session


class Runtime(ABC):
    """An engine that executes an artifact.

    Compiling happens on the host and may need the whole workstation; driving happens on the device and needs
    numpy and the engine alone.

    Attributes:
        name: The entry point's name.
        extra: The extra of this package that installs the engine.
        ignores: Patterns whose zeros this engine does not turn into speed, each with the sentence that says so;
            ``n:m`` stands for 2:4 and all of its kind.
    """

    name: ClassVar[str]
    extra: ClassVar[str]
    ignores: ClassVar[Mapping[str, str]]

    @abstractmethod
    def version(self) -> str:
        """The engine's version.

        Raises:
            MissingExtra: the engine is not installed.
        """

    def ignored(self, pattern: str) -> str | None:
        """The sentence that says that the engine gains nothing from a pattern's zeros; None where it does."""
        return self.ignores.get("n:m" if ":" in pattern else pattern)

    # -- compile, on the host ------------------------------------------------------------------------------

    @abstractmethod
    def compile(self, onnx_file: Path, folder: Path, *, precision: str) -> tuple[str, ...]:
        """Write into ``folder`` what this engine loads; the first name returned is the file to open.

        Args:
            onnx_file: The exported subnetwork.
            folder: An existing folder.
            precision: ``"fp32"`` and whatever else the engine knows.

        Raises:
            UnknownName: the engine does not know the precision.
        """

    @abstractmethod
    def read_weights(self, model_file: Path) -> dict[str, npt.NDArray[np.generic]]:
        """The constant tensors of two or more dimensions in a compiled model, by name.

        Raises:
            InvalidInput: the file is not a model of this engine.
        """

    # -- drive, on the device ------------------------------------------------------------------------------

    @abstractmethod
    def open(self, model_file: Path, *, precision: str, threads: int | None = None) -> Session:
        """The model, loaded.

        Args:
            model_file: The file that :meth:`compile` named first.
            precision: The precision to execute in; an engine that would silently use a lower one is told not to.
            threads: Intra-operator threads; None leaves it to the engine.

        Raises:
            InvalidInput: the file is not a model of this engine.
            MissingExtra: the engine is not installed.
        """

    @abstractmethod
    def placement(self, model_file: Path, *, precision: str) -> dict[str, int]:
        """How many nodes the engine places on each of its devices, e.g. ``{"CPU": 49}``."""


def find_runtime(name: str) -> Runtime:
    """The runtime registered as ``name``.

    Raises:
        UnknownName: there is none.
    """
    runtime: Runtime = plugin("runtimes", "runtime", name)()
    return runtime
