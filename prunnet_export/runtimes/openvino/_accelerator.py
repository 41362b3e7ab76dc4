"""OpenVINO on Intel's GPUs and NPUs: the files of the CPU plugin, on another part of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from prunnet_export.runtimes._base import Model
from prunnet_export.runtimes.openvino._runtime import OpenVino


class OpenVinoAccelerator(OpenVino):
    """A plugin of OpenVINO that is not the CPU's."""

    # What is not quantised stays fp16 there: NPUs have no fp32.
    executes: ClassVar[Mapping[str, str]] = {"fp32": "f32", "fp16": "f16", "int8": "f16"}

    def obstacle(self) -> str | None:
        """That OpenVINO sees no such device, or none whose driver it can use."""
        devices: list[str] = self._engine().Core().available_devices
        if any(device.partition(".")[0] == self.places_on for device in devices):
            return None
        return f"OpenVINO sees no {self.places_on} here ({', '.join(devices) or 'no device at all'})"

    def ignored(self, pattern: str) -> str | None:
        """The CPU plugin's sentence, said of this one."""
        sentence = super().ignored(pattern)
        return None if sentence is None else sentence.replace("openvino ", f"{self.name} ", 1)

    def twin(self, model_file: Path, *, precision: str) -> Model:
        """The same file on the CPU, whose plugin computes with fp16 weights in fp32."""
        return Model(model_file, "openvino", "int8" if precision == "int8" else "fp32")


class OpenVinoGpu(OpenVinoAccelerator):
    """OpenVINO's GPU plugin: Intel graphics, integrated or discrete."""

    name: ClassVar[str] = "openvino-gpu"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16", "int8")
    places_on: ClassVar[str] = "GPU"


class OpenVinoNpu(OpenVinoAccelerator):
    """OpenVINO's NPU plugin: the accelerator of Core Ultra processors, which has no fp32."""

    name: ClassVar[str] = "openvino-npu"
    precisions: ClassVar[tuple[str, ...]] = ("fp16", "int8")
    places_on: ClassVar[str] = "NPU"
