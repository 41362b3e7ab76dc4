"""A GPU made of host memory, and an engine that runs on it: what drives TensorRT, without the hardware."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from prunnet_export.runtimes._session import Batch

OK = 0
OUT_OF_MEMORY = 2
NAME = "Orin"


class FakeRuntime:
    """``cuda.bindings.runtime`` over host memory; counts what is allocated, and refuses what is beyond ``limit``."""

    def __init__(self, *, limit: int = 2**30) -> None:
        self.blocks: dict[int, Any] = {}
        self.copies: list[str] = []
        self.limit = limit
        self.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")

    def cudaMalloc(self, size: int) -> tuple[int, int | None]:  # noqa: N802  CUDA's name
        if size > self.limit:
            return OUT_OF_MEMORY, None
        block = (ctypes.c_char * size)()
        self.blocks[ctypes.addressof(block)] = block
        return OK, ctypes.addressof(block)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        del self.blocks[address]
        return (OK,)

    def cudaMemcpyAsync(self, target: int, source: int, count: int, kind: str, stream: int) -> tuple[int]:  # noqa: N802
        assert stream == 7
        self.copies.append(kind)
        ctypes.memmove(target, source, count)
        return (OK,)

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802
        return OK, 7

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        assert stream == 7
        return (OK,)

    def cudaGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        return OK, {OUT_OF_MEMORY: b"out of memory"}[error]

    def cudaGetDeviceProperties(self, index: int) -> tuple[int, Any]:  # noqa: N802
        assert index == 0
        return OK, SimpleNamespace(name=NAME.encode() + b"\0\0", major=8, minor=7)


class FakeLogger:
    """The engine's logger, whose levels are the engine's."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


def fake_engine() -> Any:
    """A module like ``tensorrt``, as far as a session needs it."""
    module = ModuleType("tensorrt")
    vars(module).update(
        ILogger=type("ILogger", (FakeLogger,), {}),
        TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
        float32="float32",
        float16="float16",
    )
    return module


class FakePlan:
    """An engine that maps images of 2 x 2 pixels to ``function`` of them, at most ``most`` at a time."""

    def __init__(self, *, batch: int = -1, most: int = 32, kind: str = "float32", dim: int = 12) -> None:
        self.num_io_tensors = 2
        self._shapes = {"images": (batch, 3, 2, 2), "embeddings": (batch, dim)}
        self._most, self._kind = most, kind

    def get_tensor_name(self, index: int) -> str:
        return ["embeddings", "images"][index]  # in no order that could be relied on

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "images" else "out"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def get_tensor_dtype(self, name: str) -> str:
        return self._kind if name == "images" else "float32"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert (name, profile) == ("images", 0)
        return [(1, 3, 2, 2), (1, 3, 2, 2), (self._most, 3, 2, 2)]


class FakeContext:
    """Runs a function on the memory of the fake GPU."""

    def __init__(self, runtime: FakeRuntime, function: Callable[[Batch], Batch]) -> None:
        self._runtime, self._function = runtime, function
        self._addresses: dict[str, int] = {}
        self.shapes: list[tuple[int, ...]] = []
        self.fails = False

    def set_tensor_address(self, name: str, address: int) -> None:
        assert address in self._runtime.blocks
        self._addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "images"
        self.shapes.append(shape)
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.fails:
            return False
        shape = self.shapes[-1]
        source = self._runtime.blocks[self._addresses["images"]]
        images = np.frombuffer(source, np.float32, count=int(np.prod(shape))).reshape(shape)
        result = self._function(images).astype(np.float32)
        ctypes.memmove(self._addresses["embeddings"], result.tobytes(), result.nbytes)
        return True
