"""The interface of a runtime: it compiles a model on the host and executes it on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, UnknownName, UsageError
from prunnet_export._foreign import foreign_code, guarded
from prunnet_export._imports import plugin, plugin_hint
from prunnet_export.precision import FP32, Precision
from prunnet_export.runtimes._session import Batch, Session


def _raise_missing() -> Any:
    raise InvalidInput("this precision or runtime needs real images", hint="compile it through prunnet-export")


@dataclass(frozen=True)
class CompileInputs:
    """Inputs of compiling beside the ONNX file. The functions are expensive, so a runtime calls only what it needs.

    Attributes:
        images: Returns real images for calibration, in batches of float32 [n, 3, height, width] in 0..1.
        module: Returns the same subnetwork as a torch module that maps such a batch to unit vectors.
        layer_times: Returns the milliseconds of each layer of a compiled model, by the layer's name, on the device.
        options: Options of the target, e.g. which accelerator to compile for.
        accurate: Whether embeddings matter. If only the latency is measured, INT8 need not reach an accuracy.
    """

    images: Callable[[], Iterable[Batch]] = _raise_missing
    module: Callable[[], Any] = _raise_missing
    layer_times: Callable[[Path], Mapping[str, float]] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    accurate: bool = True


@dataclass(frozen=True)
class Model:
    """A compiled model.

    Attributes:
        file: The file that the engine opens. :meth:`Runtime.compile` returns its name first.
        runtime: Name of the engine.
        precision: Name of the precision to execute in.
        files: All files of the model, which are copied to a board; empty if only ``file`` is known.
    """

    file: Path
    runtime: str
    precision: str = FP32.name
    files: tuple[Path, ...] = ()


class Runtime(ABC):
    """An engine that executes an artifact.

    A model is compiled on the host, which may need every extra. It is executed on the device, which needs only numpy
    and the engine. Every method that takes a precision or a model raises UnknownName if the engine does not have the
    precision.

    Attributes:
        name: Name of the entry point.
        extra: The extra of this package that installs the engine.
        distributions: The other distributions that the runtime uses, each with the name to give to ``pip install``.
            ``--doctor`` lists them. Their versions are stored in the manifest and are part of the build cache's keys.
        ignores: Patterns whose zeros do not make this engine faster, each with a sentence that says so. The key
            ``n:m`` stands for 2:4 and every other n:m pattern.
        precisions: The precisions that the engine can execute in, the most exact first.
        takes_batches: Whether its files take several images at a time. If not, ``--batch-size`` is refused.
        places_on: The name that :meth:`placement` gives to the processor that should execute every node.
    """

    name: ClassVar[str]
    extra: ClassVar[str]
    distributions: ClassVar[Mapping[str, str]] = {}
    ignores: ClassVar[Mapping[str, str]]
    precisions: ClassVar[tuple[Precision, ...]] = (FP32,)
    takes_batches: ClassVar[bool] = True
    places_on: ClassVar[str] = "CPU"

    def precision(self, name: str) -> Precision:
        """The precision with this name; raises UnknownName if the engine does not have it."""
        for precision in self.precisions:
            if precision.name == name:
                return precision
        raise UnknownName("precision", name, [precision.name for precision in self.precisions])

    @abstractmethod
    def version(self) -> str:
        """The engine's version; raises MissingExtra if the engine is not installed."""

    def obstacle(self) -> str | None:
        """Why this engine cannot run a model on this machine, e.g. because there is no GPU; None if it can."""
        return None

    def ignored(self, pattern: str) -> str | None:
        """A sentence that says that a pattern's zeros do not make the engine faster; None if they do."""
        channels, _, zeros = pattern.rpartition("+")
        sentence = self.ignores.get("n:m" if ":" in zeros else zeros)
        if sentence is not None and channels:
            return f"{self.name} gains from the fewer channels of {pattern}, not from its zeros; use --pattern channel"
        return sentence

    # -- methods that are called on the host ---------------------------------------------------------------

    @abstractmethod
    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write the files that this engine loads into ``folder``, and return their names, the file to open first.

        Only the named files are deployed and copied to a board. While a model is being compiled, its layers may be
        timed on the board. Then the first file is copied, and the files beside it that have the same stem.

        Args:
            onnx_file: The exported subnetwork, fp32.
            folder: An existing folder.
            precision: Name of one of :attr:`precisions`.
            inputs: Other inputs of compiling; None if there are none.

        Raises:
            InvalidInput: the model cannot be compiled in this precision, or an input that is needed is missing.
        """

    @abstractmethod
    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The constant tensors with two or more dimensions in a compiled model, by name.

        The zero point is subtracted from quantised weights, so that a weight of zero is the number 0.

        Raises:
            InvalidInput: the file is not a model of this engine.
        """

    def twin(self, model: Model) -> Model | None:
        """A model that computes the same on a host that cannot run this one (:meth:`obstacle`); None if none does."""
        del model
        return None

    def estimate_ms(self, model: Model) -> tuple[float, str] | None:
        """The latency that the engine's compiler estimates without the hardware: milliseconds, and the estimator."""
        del model
        return None

    # -- methods that are called on the device -------------------------------------------------------------

    def built(self, model: Model) -> bool:
        """Whether the engine can run a model's file; False if :meth:`finish` has to build it on the device first."""
        del model
        return True

    def finish(self, model: Model, folder: Path, options: Mapping[str, str]) -> tuple[str, ...]:
        """Build a model on the device, if :meth:`compile` could only prepare it on the host (see :meth:`built`).

        Args:
            model: The compiled model.
            folder: An existing folder for the new files.
            options: Options of the target.

        Returns:
            The names of the new files, the file to open first; empty if there is nothing to build.

        Raises:
            InvalidInput: the engine cannot build this model.
            Unreachable: this machine is not the device.
        """
        del model, folder, options
        return ()

    @abstractmethod
    def open(self, model: Model, *, threads: int | None = None) -> Session:
        """Load a model. The engine must not execute it in a lower precision than asked for.

        Args:
            model: The compiled model.
            threads: Intra-operator threads; None leaves the number to the engine, within the CPU quota.

        Raises:
            InvalidInput: the file is not a model of this engine.
            MissingExtra: the engine is not installed.
        """

    def layer_times(self, model: Model, *, threads: int | None = None, batch_size: int = 1) -> dict[str, float]:
        """Milliseconds of each layer by name, the lowest of several inferences; InvalidInput if it cannot time them."""
        del model, threads, batch_size
        raise InvalidInput(f"{self.name} does not time single layers")

    @abstractmethod
    def placement(self, model: Model) -> dict[str, int]:
        """How many nodes the engine places on each processor, e.g. ``{"CPU": 49}``."""


def dense_kernels(name: str, **zeros: str) -> dict[str, str]:
    """:attr:`Runtime.ignores` of an engine whose kernels skip no zeros; ``zeros`` replaces the words for a pattern."""
    words = {"unstructured": "unstructured zeros", "n:m": "n:m zeros", "block": "zero blocks", **zeros}
    return {
        pattern: f"{name} ignores {word}: latency stays at the dense network's; use --pattern channel"
        for pattern, word in words.items()
    }


def find_runtime(name: str) -> Runtime:
    """The runtime that is registered as ``name``.

    Raises:
        UnknownName: there is none.
        UsageError: the package that brings it is broken. So do the methods of a runtime of another package, for
            whatever they raise.
    """
    kind = plugin("runtimes", "runtime", name, expected=type)
    what, hint = f"runtime {name!r}", plugin_hint("runtimes", name)
    if not issubclass(kind, Runtime):
        raise UsageError(f"{what} is no {Runtime.__name__} but {kind.__name__}", hint=hint)
    with foreign_code(f"{what} cannot be made", hint):
        runtime: Runtime = guarded(kind, Runtime, what, hint)()
    return runtime
