"""Access to an NVIDIA GPU through CUDA: its presence, its properties and its memory."""

from __future__ import annotations

import ctypes
import sys
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import Unreachable
from prunnet_export._imports import require

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_FIRST_GPU = 0


def has_gpu() -> bool:
    """Whether the driver is installed and finds a GPU.

    Device files are not checked, because their names differ on desktops, on Jetson boards and in containers.
    """
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL(_DRIVER)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


@dataclass(frozen=True)
class Gpu:
    """The first GPU: its name in the driver, and its compute capability without a point, e.g. ``87``."""

    name: str
    capability: str


class Cuda:
    """The CUDA runtime through NVIDIA's bindings, which the extra ``extra`` installs."""

    def __init__(self, *, extra: str) -> None:
        self._runtime = require("cuda.bindings.runtime", extra=extra)

    def gpu(self) -> Gpu:
        """The first GPU."""
        properties = self.call("cudaGetDeviceProperties", _FIRST_GPU)
        name = properties.name
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return Gpu(text.rstrip("\0"), f"{properties.major}{properties.minor}")

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the CUDA runtime; return its result or None, and raise Unreachable if it fails."""
        error, *results = getattr(self._runtime, name)(*arguments)
        if int(error):
            _, text = self._runtime.cudaGetErrorString(error)
            reason = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            raise Unreachable(f"{name}: {reason}", hint="another process may use up the GPU; nvidia-smi shows them")
        return results[0] if results else None

    def copy(self, target: int, source: int, count: int, kind: str, stream: Any) -> None:
        """Copy ``count`` bytes. ``kind`` is ``HostToDevice`` or ``DeviceToHost``."""
        direction = getattr(self._runtime.cudaMemcpyKind, f"cudaMemcpy{kind}")
        self.call("cudaMemcpyAsync", target, source, count, direction, stream)


class Buffer:
    """Memory of ``size`` bytes on the GPU. It is freed with the object."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.address = int(cuda.call("cudaMalloc", size))
        self._cuda = cuda
        freeing = weakref.finalize(self, _free, cuda, self.address)
        freeing.atexit = False  # the memory ends with the process, and the driver may be unloaded before

    def write(self, array: npt.NDArray[np.float32], stream: Any) -> None:
        """Copy a contiguous array to the GPU. The array must exist until the stream is synchronised."""
        self._cuda.copy(self.address, array.ctypes.data, array.nbytes, "HostToDevice", stream)

    def read(self, array: npt.NDArray[np.float32], stream: Any) -> None:
        """Copy the memory to a contiguous array. The array is filled when the stream is synchronised."""
        self._cuda.copy(array.ctypes.data, self.address, array.nbytes, "DeviceToHost", stream)


def _free(cuda: Cuda, address: int) -> None:
    with suppress(Unreachable):
        cuda.call("cudaFree", address)
