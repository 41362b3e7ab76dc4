"""OpenVINO on Intel's GPUs and NPUs: the files of the CPU plugin, on another part of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from prunnet_export.precision import FP16, FP32, INT8, Precision
from prunnet_export.runtimes._base import Model, dense_kernels
from prunnet_export.runtimes.openvino._runtime import IN_CONVOLUTIONS, OpenVino, core


class OpenVinoAccelerator(OpenVino):
    """A plugin of OpenVINO that is not the CPU's."""

    # What is not quantised stays fp16 there: NPUs have no fp32.
    executes: ClassVar[Mapping[str, str]] = {"fp32": "f32", "fp16": "f16", "int8": "f16"}

    def obstacle(self) -> str | None:
        """That OpenVINO sees no such device, or none whose driver it can use."""
        devices: list[str] = core().available_devices
        if any(device.partition(".")[0] == self.places_on for device in devices):
            return None
        return f"OpenVINO sees no {self.places_on} here ({', '.join(devices) or 'no device at all'})"

    def twin(self, model: Model) -> Model:
        """The same file on the CPU, whose plugin computes with fp16 weights in fp32."""
        return Model(model.file, OpenVino.name, (INT8 if model.precision == INT8.name else FP32).name)


class OpenVinoGpu(OpenVinoAccelerator):
    """OpenVINO's GPU plugin: Intel graphics, integrated or discrete."""

    name: ClassVar[str] = "openvino-gpu"
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("openvino-gpu", unstructured=IN_CONVOLUTIONS)
    precisions: ClassVar[tuple[Precision, ...]] = (FP32, FP16, INT8)
    places_on: ClassVar[str] = "GPU"


class OpenVinoNpu(OpenVinoAccelerator):
    """OpenVINO's NPU plugin: the accelerator of Core Ultra processors, which has no fp32."""

    name: ClassVar[str] = "openvino-npu"
    ignores: ClassVar[Mapping[str, str]] = dense_kernels("openvino-npu", unstructured=IN_CONVOLUTIONS)
    precisions: ClassVar[tuple[Precision, ...]] = (FP16, INT8)
    places_on: ClassVar[str] = "NPU"
