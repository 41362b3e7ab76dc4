"""Running an engine of TensorRT or TensorRT-RTX on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes._session import Batch, Session, embedding_shape
from prunnet_export.runtimes.tensorrt._cuda import Buffer, Cuda
from prunnet_export.runtimes.tensorrt._log import find_logger

_FLOAT_BYTES = 4
_PROFILE = 0


def load_engine(engine: Any, content: bytes, *, name: str) -> Any:
    """Load a serialized engine on the GPU; raise InvalidInput if it is none, or of another version or GPU."""
    logger = find_logger(engine)
    logger.log_record.clear()
    loaded = engine.Runtime(logger).deserialize_cuda_engine(content)
    if loaded is None:
        raise InvalidInput(
            f"{name}: no engine that {engine.__name__} can load here ({logger.log_record.first_error()})",
            hint="build it again on this device: engines move neither between versions nor between most GPUs",
        )
    return loaded


class EngineSession(Session):
    """An engine, and memory on the GPU for the largest batch that it takes.

    Larger batches are split. Every call copies images to the GPU and embeddings back, so measured times contain the
    copies. ``compiled`` is called after the first inference of each batch size, when its kernels are compiled.
    """

    def __init__(
        self,
        engine: Any,
        model_file: Path,
        *,
        plan: Any,
        context: Any,
        cuda: Cuda,
        compiled: Callable[[], None] | None = None,
    ) -> None:
        names = [plan.get_tensor_name(index) for index in range(plan.num_io_tensors)]
        inputs = [name for name in names if plan.get_tensor_mode(name) == engine.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        float32 = all(plan.get_tensor_dtype(name) == engine.float32 for name in names)
        shapes = ([plan.get_tensor_shape(name) for name in names] for names in (inputs, outputs))
        super().__init__(embedding_shape(model_file, *shapes, float32=float32))
        self._log = find_logger(engine).log_record
        self._plan, self._context, self._cuda, self._compiled = plan, context, cuda, compiled
        [self._input], [self._output] = inputs, outputs
        shape = self.shape
        self._most: int = shape.batch or plan.get_tensor_profile_shape(self._input, _PROFILE)[2][0]
        self._stream = cuda.call("cudaStreamCreate")
        self._images = Buffer(cuda, self._most * 3 * shape.height * shape.width * _FLOAT_BYTES)
        self._embeddings = Buffer(cuda, self._most * shape.dim * _FLOAT_BYTES)
        context.set_tensor_address(self._input, self._images.address)
        context.set_tensor_address(self._output, self._embeddings.address)
        self._size = 0

    def _infer(self, images: Batch) -> Batch:
        parts = [self._run(images[start : start + self._most]) for start in range(0, len(images), self._most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, images: Batch) -> Batch:
        new = len(images) != self._size
        if new and not self._context.set_input_shape(self._input, images.shape):
            raise self._failed()
        embeddings = np.empty((len(images), self.shape.dim), np.float32)
        self._images.write(images, self._stream)
        if not self._context.execute_async_v3(int(self._stream)):
            raise self._failed()
        self._embeddings.read(embeddings, self._stream)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        self._size = len(images)
        if new and self._compiled is not None:
            self._compiled()
        return embeddings

    def _failed(self) -> InvalidInput:
        return InvalidInput(f"the engine failed on the batch: {self._log.first_error()}")
