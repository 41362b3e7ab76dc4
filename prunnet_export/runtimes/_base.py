"""What a runtime is to this package: it compiles on the host and drives on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export._imports import plugin
from prunnet_export.precision import FP32, Precision
from prunnet_export.runtimes._session import Batch, Session


def _raise_missing() -> Any:
    raise InvalidInput("this precision or runtime needs real images", hint="compile it through prunnet-export")


@dataclass(frozen=True)
class CompileInputs:
    """What compiling may need beside the ONNX file; each is expensive and made when it is called.

    Attributes:
        images: Calibration images, batches of float32 [n, 3, height, width] in 0..1, real ones.
        module: The same subnetwork as a torch module that takes such a batch and gives unit vectors, for
            converters that begin there.
        layer_times: Milliseconds of each layer of a model of this engine, by the layer's name, on the device
            that the model is for.
        options: The target's own, e.g. which accelerator to compile for.
    """

    images: Callable[[], Iterable[Batch]] = _raise_missing
    module: Callable[[], Any] = _raise_missing
    layer_times: Callable[[Path], Mapping[str, float]] | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A compiled model.

    Attributes:
        file: What the engine opens: the file that :meth:`Runtime.compile` named first.
        runtime: Name of the engine.
        precision: Name of what to execute in.
    """

    file: Path
    runtime: str
    precision: str = FP32.name


class Runtime(ABC):
    """An engine that executes an artifact.

    Compiling happens on the host and may need the whole workstation; driving happens on the device and needs
    numpy and the engine alone. Every method that takes a precision or a model raises UnknownName for a precision
    that the engine does not have.

    Attributes:
        name: The entry point's name.
        extra: The extra of this package that installs the engine.
        distributions: What compiling and driving use of other distributions, each with what pip installs it by.
            ``--doctor`` lists them, and their versions go into the manifest and into the keys of the build cache.
        ignores: Patterns whose zeros this engine does not turn into speed, each with the sentence that says so;
            ``n:m`` stands for 2:4 and all of its kind.
        precisions: What it executes in, the most exact first.
        places_on: What :meth:`placement` calls the part of the machine that every node is meant for.
    """

    name: ClassVar[str]
    extra: ClassVar[str]
    distributions: ClassVar[Mapping[str, str]] = {}
    ignores: ClassVar[Mapping[str, str]]
    precisions: ClassVar[tuple[Precision, ...]] = (FP32,)
    places_on: ClassVar[str] = "CPU"

    def precision(self, name: str) -> Precision:
        """The precision of that name.

        Raises:
            UnknownName: the engine does not have it.
        """
        for precision in self.precisions:
            if precision.name == name:
                return precision
        raise UnknownName("precision", name, [precision.name for precision in self.precisions])

    @abstractmethod
    def version(self) -> str:
        """The engine's version.

        Raises:
            MissingExtra: the engine is not installed.
        """

    def obstacle(self) -> str | None:
        """Why this engine cannot run a model on this machine, e.g. that it has no GPU; None where it can."""
        return None

    def ignored(self, pattern: str) -> str | None:
        """The sentence that says that the engine gains nothing from a pattern's zeros; None where it does."""
        channels, _, zeros = pattern.rpartition("+")
        sentence = self.ignores.get("n:m" if ":" in zeros else zeros)
        if sentence is not None and channels:
            return f"{self.name} gains from the fewer channels of {pattern}, not from its zeros; use --pattern channel"
        return sentence

    # -- compile, on the host ------------------------------------------------------------------------------

    @abstractmethod
    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write into ``folder`` what this engine loads; the first name returned is the file to open.

        The others have its stem, or are small files: those travel to a board beside it.

        Args:
            onnx_file: The exported subnetwork, fp32.
            folder: An existing folder.
            precision: Name of one of :attr:`precisions`.
            inputs: What there is beside the ONNX file; None where nothing is needed.

        Raises:
            InvalidInput: this model cannot be compiled like this, or an input is needed and not there.
        """

    @abstractmethod
    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The constant tensors of two or more dimensions in a compiled model, by name.

        Quantised weights are given such that zero is zero: integers less their zero point.

        Raises:
            InvalidInput: the file is not a model of this engine.
        """

    def twin(self, model: Model) -> Model | None:
        """What computes the same as a model on a host where :meth:`obstacle` stands; None where nothing does."""
        del model
        return None

    def estimate_ms(self, model: Model) -> tuple[float, str] | None:
        """What the engine's own compiler expects without the hardware: milliseconds, and who says so."""
        del model
        return None

    # -- drive, on the device ------------------------------------------------------------------------------

    def built(self, model: Model) -> bool:
        """Whether a model is what the engine runs, not what it still has to build that from."""
        del model
        return True

    def finish(self, model: Model, folder: Path, options: Mapping[str, str]) -> tuple[str, ...]:
        """Build on the device what :meth:`compile` could only prepare on the host, where :meth:`built` says so.

        Args:
            model: What was compiled.
            folder: Where to write, an existing folder.
            options: The target's own.

        Returns:
            The names of the new files, the one to open from now on first; none where nothing was left to build.

        Raises:
            InvalidInput: the engine cannot build this model.
            Unreachable: this is not the device.
        """
        del model, folder, options
        return ()

    @abstractmethod
    def open(self, model: Model, *, threads: int | None = None) -> Session:
        """The model, loaded; an engine that would silently execute in a lower precision is told not to.

        Args:
            model: What to load.
            threads: Intra-operator threads; None leaves it to the engine.

        Raises:
            InvalidInput: the file is not a model of this engine.
            MissingExtra: the engine is not installed.
        """

    def layer_times(self, model: Model, *, threads: int | None = None) -> dict[str, float]:
        """Milliseconds of each layer, the fastest of several inferences, by the layer's name.

        Raises:
            InvalidInput: the engine does not tell.
        """
        del model, threads
        raise InvalidInput(f"{self.name} does not time single layers")

    @abstractmethod
    def placement(self, model: Model) -> dict[str, int]:
        """How many nodes the engine places on each of its devices, e.g. ``{"CPU": 49}``."""


def dense_kernels(name: str, **zeros: str) -> dict[str, str]:
    """The sentences of an engine whose kernels skip no zeros; ``zeros`` are other words for those of a pattern."""
    words = {"unstructured": "unstructured zeros", "n:m": "n:m zeros", "block": "zero blocks", **zeros}
    return {
        pattern: f"{name} ignores {word}: latency stays at the dense network's; use --pattern channel"
        for pattern, word in words.items()
    }


def find_runtime(name: str) -> Runtime:
    """The runtime registered as ``name``.

    Raises:
        UnknownName: there is none.
    """
    runtime: Runtime = plugin("runtimes", "runtime", name)()
    return runtime
