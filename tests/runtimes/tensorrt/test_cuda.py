from __future__ import annotations

import ctypes
import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prunnet_export._errors import MissingExtra, Unreachable
from prunnet_export.runtimes.tensorrt import _cuda
from prunnet_export.runtimes.tensorrt._cuda import Buffer, Cuda, Gpu, has_gpu
from tests._asserts import assert_one_line
from tests.runtimes.tensorrt._fake_gpu import FakeRuntime


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(_cuda, "require", lambda module, *, extra: fake)  # noqa: ARG005
    return fake


@pytest.mark.parametrize(("code", "gpus", "answers"), [(0, 1, True), (0, 2, True), (0, 0, False), (100, 1, False)])
def test_the_driver_is_asked(code: int, gpus: int, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(found: Any) -> int:
        found._obj.value = gpus
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: code + flags, cuDeviceGetCount=count)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: driver)
    assert has_gpu() is answers


@pytest.mark.parametrize("error", [OSError("no such file"), AttributeError("cuInit")])
def test_no_driver_is_no_gpu(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert not has_gpu()


def test_says_what_the_gpu_is(runtime: FakeRuntime) -> None:
    del runtime
    assert Cuda(extra="tensorrt").gpu() == Gpu(name="Orin", capability="87")


def test_memory_goes_there_and_back(runtime: FakeRuntime) -> None:
    cuda = Cuda(extra="tensorrt")
    buffer = Buffer(cuda, 24)
    buffer.write(np.arange(6, dtype=np.float32), 7)
    back = np.empty(6, np.float32)
    buffer.read(back, 7)
    assert back.tolist() == [0, 1, 2, 3, 4, 5]
    assert runtime.copies == ["in", "out"]
    assert len(runtime.blocks) == 1
    del buffer
    assert not runtime.blocks


def test_cuda_errors_are_one_line(runtime: FakeRuntime) -> None:
    with pytest.raises(Unreachable, match="cudaMalloc: out of memory") as raised:
        Buffer(Cuda(extra="tensorrt"), runtime.limit + 1)
    assert_one_line(raised.value)


def test_the_real_bindings_have_every_name_that_is_called() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    names = [name for name in dir(FakeRuntime) if name.startswith("cuda")]
    assert len(names) == 7
    assert all(callable(getattr(real, name)) for name in names)
    assert {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"} <= set(real.cudaMemcpyKind.__members__)
    assert int(real.cudaError_t.cudaErrorMemoryAllocation) == 2


def test_missing_bindings_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError(name="cuda")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra) as raised:
        Cuda(extra="tensorrt-rtx")
    assert "prunnet-export[tensorrt-rtx]" in raised.value.hint
