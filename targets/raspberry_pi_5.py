"""Raspberry Pi 5 under ONNX Runtime."""

from prunnet_export.target import Limits, Target

# BCM2712: four Cortex-A76 at 2.4 GHz, two 128-bit NEON pipes, dot products of INT8 (16 per pipe and cycle);
# LPDDR4X-4267, 32 bit.
# Sources: Raspberry Pi Ltd, the product brief; Arm, "Cortex-A76 Software Optimization Guide".
TARGET = Target(
    name="raspberry-pi-5",
    device="Raspberry Pi 5 (BCM2712, 4x Cortex-A76)",
    runtime="onnxruntime",
    patterns=("channel",),
    precisions=("fp32", "int8"),
    channel_multiple=8,  # two NEON registers of fp32, the step width of the kernels
    machines=("aarch64", "arm64"),
    source="Raspberry Pi Ltd's product brief; nothing was measured on one",
    limits=Limits(
        tera_macs={"fp32": 0.077, "int8": 0.307},
        memory_gb_s=17.1,
        efficiency=0.5,  # assumed: share that good kernels reach on a few cores
        layer_us=5,  # assumed: time to wake the threads
        source="4 cores x 8 multiply-adds x 2.4 GHz, four times that in INT8",
    ),
)
