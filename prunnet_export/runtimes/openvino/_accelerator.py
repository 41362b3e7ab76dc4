"""OpenVINO on Intel's GPUs and NPUs. They load the same files as the CPU plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from prunnet_export.precision import FP16, FP32, INT8, Precision
from prunnet_export.runtimes._base import Model, dense_kernels
from prunnet_export.runtimes.openvino._runtime import IN_CONVOLUTIONS, OpenVino, core


class OpenVinoAccelerator(OpenVino):
    """Base of the plugins of OpenVINO for other processors than the CPU."""

    # In INT8, layers that are not quantised run in fp16, because NPUs have no fp32.
    executes: ClassVar[Mapping[str, str]] = {"fp32": "f32", "fp16": "f16", "int8": "f16"}

    def obstacle(self) -> str | None:
        """A sentence that says that OpenVINO finds no such device, or no driver that it can use; else None."""
        devices: list[str] = core().available_devices
        if any(device.partition(".")[0] == self.places_on for device in devices):
            return None
        return f"OpenVINO sees no {self.places_on} here ({', '.join(devices) or 'no device at all'})"

    def twin(self, model: Model) -> Model:
        """The same file on the CPU. Its plugin computes with fp16 weights in fp32."""
        return Model(model.file, OpenVino.name, (INT8 if model.precision == INT8.name else FP32).name)


class OpenVinoGpu(OpenVinoAccelerator):
    """OpenVINO's GPU plugin: Intel graphics, integrated or discrete."""

    name: ClassVar[str] = "openvino-gpu"
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("openvino-gpu", unstructured=IN_CONVOLUTIONS)
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, FP16, INT8)
    places_on: ClassVar[str] = "GPU"


class OpenVinoNpu(OpenVinoAccelerator):
    """OpenVINO's NPU plugin, for the accelerator of Core Ultra processors. The accelerator has no fp32."""

    name: ClassVar[str] = "openvino-npu"
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("openvino-npu", unstructured=IN_CONVOLUTIONS)
    precisions: ClassVar[tuple[Precision, ...]] = (FP16, INT8)
    places_on: ClassVar[str] = "NPU"
