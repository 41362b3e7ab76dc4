"""TensorRT for RTX: engines for desktop GPUs, built in advance on a host without a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._limits import MODEL_BYTES
from prunnet_export.runtimes._base import CompileInputs
from prunnet_export.runtimes.tensorrt._build import Built, build_engine
from prunnet_export.runtimes.tensorrt._cuda import Gpu
from prunnet_export.runtimes.tensorrt._family import ENGINE, TYPED, TensorRtFamily, ignored_patterns, used_distributions
from prunnet_export.runtimes.tensorrt._record import RECORD

_OLDEST = 80  # oldest compute capability with 2:4, and with fp32 matrix products in this engine
_KEPT_CACHES = 32
_OPTION = "compute_capabilities"


class TensorRtRtx(TensorRtFamily):
    """TensorRT-RTX.

    An engine is checked and fused for the compute capabilities that it names. Its kernels are compiled at the first run
    and kept in the user's cache folder. TensorRT-RTX does not report whether they are sparse kernels.
    """

    name: ClassVar[str] = "tensorrt-rtx"
    extra: ClassVar[str] = "tensorrt-rtx"
    distributions: ClassVar[Mapping[str, str]] = used_distributions("tensorrt-rtx")
    module: ClassVar[str] = "tensorrt_rtx"
    ignores: ClassVar[Mapping[str, str]] = ignored_patterns("tensorrt-rtx")

    def version(self) -> str:
        """The engine's version. This call loads the engine."""
        return str(self._engine().__version__)

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.engine``, its source ``model.onnx``, and ``engine.json`` into ``folder``.

        The option ``compute_capabilities`` lists the GPUs to build for, e.g. ``"86,89,120"``. The default is every
        compute capability from 8.0 on that the engine supports.
        """
        engine = self._engine()
        chosen = _capabilities(engine, (inputs or CompileInputs()).options)
        self._write_typed(onnx_file, folder, precision=precision, inputs=inputs)
        built = build_engine(engine, folder / TYPED, capabilities=tuple(chosen.values()))
        self._write_engine(built, folder, precision=precision, capabilities=tuple(chosen))
        return (ENGINE, TYPED, RECORD)

    def _build_here(self, onnx_file: Path, gpu: Gpu) -> Built:
        del gpu
        engine = self._engine()
        return build_engine(engine, onnx_file, capabilities=(engine.ComputeCapability.CURRENT,))

    def _context(self, engine: Any, plan: Any, content: bytes) -> tuple[Any, Callable[[], None] | None]:
        config = plan.create_runtime_config()
        # Otherwise the first inferences use kernels for any shape while faster ones are compiled in the background.
        eager = engine.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        kernels = config.create_runtime_cache()
        file = cache_folder() / self.name / f"{hashlib.sha256(content).hexdigest()[:32]}.kernels"
        with suppress(InvalidInput):
            kernels.deserialize(read_bytes(file, at_most=MODEL_BYTES))  # returns False if GPU, driver or version differ
        config.set_runtime_cache(kernels)
        return plan.create_execution_context(config), lambda: _save_kernels(file, bytes(kernels.serialize()))


def _capabilities(engine: Any, options: Mapping[str, str]) -> dict[str, Any]:
    """The members of ``ComputeCapability`` to build for by number, in ascending order."""
    members = engine.ComputeCapability.__members__.items()
    known = {name.removeprefix("SM"): member for name, member in members if name.removeprefix("SM").isdigit()}
    asked = options.get(_OPTION)
    if asked is None:
        chosen = {number for number in known if int(number) >= _OLDEST}
    else:
        chosen = {number.strip() for number in asked.split(",")}
    if unknown := sorted(chosen - known.keys()):
        raise InvalidInput(
            f"{engine.__name__} builds for no compute capability {unknown[0]!r}",
            hint=f"{_OPTION} takes numbers out of {', '.join(sorted(known, key=int))}, with commas between",
        )
    return {number: known[number] for number in sorted(chosen, key=int)}


def _save_kernels(file: Path, content: bytes) -> None:
    """Write a cache of kernels, and delete the oldest caches in the folder."""
    with suppress(StorageError, OSError):
        replace_file(file, content)
        caches = sorted(file.parent.glob(f"*{file.suffix}"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in caches[_KEPT_CACHES:]:
            old.unlink()
