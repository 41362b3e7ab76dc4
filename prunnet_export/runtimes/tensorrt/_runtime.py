"""TensorRT: an engine is built on the GPU that runs it, mostly on Jetson boards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import MissingExtra
from prunnet_export.runtimes._base import CompileInputs, Model
from prunnet_export.runtimes.tensorrt._build import Built, build_engine
from prunnet_export.runtimes.tensorrt._cuda import Gpu, has_gpu
from prunnet_export.runtimes.tensorrt._family import ENGINE, TYPED, TensorRtFamily, ignored_patterns, used_distributions
from prunnet_export.runtimes.tensorrt._record import RECORD

UNBUILT = "unbuilt"


class TensorRt(TensorRtFamily):
    """TensorRT 10 and 11.

    The host writes typed ONNX, and :meth:`finish` builds the engine on the device, because an engine runs only on the
    GPU and the version that built it. On a Jetson board, JetPack contains TensorRT.
    """

    name: ClassVar[str] = "tensorrt"
    extra: ClassVar[str] = "tensorrt"
    distributions: ClassVar[Mapping[str, str]] = used_distributions("tensorrt")
    module: ClassVar[str] = "tensorrt"
    ignores: ClassVar[Mapping[str, str]] = ignored_patterns("tensorrt")

    def version(self) -> str:
        """TensorRT's version; ``unbuilt`` on a host without TensorRT and without a GPU, which can compile too."""
        try:
            return str(self._engine().__version__)
        except MissingExtra:
            if has_gpu():
                raise
            return UNBUILT

    def built(self, model: Model) -> bool:
        """Whether the file is an engine, not the graph to build it from."""
        return model.file.suffix != Path(TYPED).suffix

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model.onnx`` with the types of the precision into ``folder``."""
        self._write_typed(onnx_file, folder, precision=precision, inputs=inputs)
        return (TYPED,)

    def finish(self, model: Model, folder: Path, options: Mapping[str, str]) -> tuple[str, ...]:
        """Build ``model.engine`` and ``engine.json`` on the GPU of this machine, which takes minutes.

        Kernel timings are kept in the user's cache folder and make the next build faster.
        """
        del options
        self.precision(model.precision)
        _, cuda = self._machine()
        gpu = cuda.gpu()
        built = self._build_here(model.file, gpu)
        self._write_engine(built, folder, precision=model.precision, capabilities=(gpu.capability,), gpu=gpu)
        return (ENGINE, RECORD)

    def _build_here(self, onnx_file: Path, gpu: Gpu) -> Built:
        timings = cache_folder() / self.name / f"sm{gpu.capability}-{self.version()}.timing"
        return build_engine(self._engine(), onnx_file, timing_cache=timings)
