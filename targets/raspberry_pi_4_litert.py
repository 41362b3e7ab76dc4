"""Raspberry Pi 4 under LiteRT."""

from dataclasses import replace

from prunnet_export.targets.raspberry_pi_4 import TARGET as ONNX_RUNTIME

# The machine and its limits are the same. XNNPACK's kernels are as wide as ONNX Runtime's.
TARGET = replace(ONNX_RUNTIME, name="raspberry-pi-4-litert", runtime="litert")
