"""Intel's GPUs and NPUs: their files are the CPU's, what is missing here is said, and the CPU stands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.runtimes.openvino import _accelerator
from tests.runtimes.openvino.test_runtime import images

TinyModel = Callable[..., Path]
NAMES = ["openvino-gpu", "openvino-npu"]


class Core:
    """An OpenVINO that sees other devices."""

    available_devices = ("CPU", "GPU.0", "NPU")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_here_is_said(name: str) -> None:
    obstacle = find_runtime(name).obstacle()
    if obstacle is not None:  # on a machine that has one there is none
        assert name.rpartition("-")[2].upper() in obstacle
        assert "CPU" in obstacle


@pytest.mark.parametrize("name", NAMES)
def test_what_is_here_is_no_obstacle(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_accelerator, "core", Core)
    assert find_runtime(name).obstacle() is None


@pytest.mark.parametrize("name", NAMES)
def test_the_cpu_computes_the_same(name: str, tiny_model: TinyModel, tmp_path: Path) -> None:
    runtime = find_runtime(name)
    [entry, weights] = runtime.compile(tiny_model(), tmp_path, precision="fp16")
    twin = runtime.twin(Model(tmp_path / entry, name, "fp16"))
    assert twin is not None
    half = find_runtime(twin.runtime).open(twin, threads=1).run(images())
    full = find_runtime("onnxruntime").open(Model(tiny_model(), "onnxruntime"), threads=1).run(images())
    np.testing.assert_allclose(half, full, atol=2e-3)
    assert not np.array_equal(half, full)  # the weights are halves
    assert (tmp_path / weights).stat().st_size > 0


def test_each_has_its_own_precisions(tiny_model: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="bf16"):
        find_runtime("openvino-gpu").compile(tiny_model(), tmp_path, precision="bf16")
    with pytest.raises(UnknownName, match="fp32"):
        find_runtime("openvino-npu").compile(tiny_model(), tmp_path, precision="fp32")


@pytest.mark.parametrize("name", NAMES)
def test_opening_without_the_device_is_one_clear_error(name: str, tiny_model: TinyModel, tmp_path: Path) -> None:
    runtime = find_runtime(name)
    if runtime.obstacle() is None:
        return
    [entry, _] = runtime.compile(tiny_model(), tmp_path, precision="fp16")
    with pytest.raises(InvalidInput, match="cannot compile it"):
        runtime.open(Model(tmp_path / entry, name, "fp16"))
