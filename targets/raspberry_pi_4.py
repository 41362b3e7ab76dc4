"""Raspberry Pi 4 under ONNX Runtime."""

from prunnet_export.target import Limits, Target

# BCM2711: four Cortex-A72 at 1.8 GHz (1.5 before 2021's kernel), 128-bit NEON, one fused multiply-add of four fp32 per
# cycle, no dot-product instructions; LPDDR4-3200, 32 bit.
# Sources: Raspberry Pi Ltd, "BCM2711 ARM Peripherals"; Arm, "Cortex-A72 Software Optimization Guide".
TARGET = Target(
    name="raspberry-pi-4",
    device="Raspberry Pi 4 (BCM2711, 4x Cortex-A72)",
    runtime="onnxruntime",
    patterns=("channel",),
    precisions=("fp32", "int8"),
    channel_multiple=8,  # two NEON registers of fp32, the step width of the kernels
    machines=("aarch64", "arm64"),
    source="Raspberry Pi Ltd's product brief; nothing was measured on one",
    limits=Limits(
        tera_macs={"fp32": 0.029, "int8": 0.058},
        memory_gb_s=12.8,
        efficiency=0.5,  # assumed: share that good kernels reach on a few cores
        layer_us=5,  # assumed: time to wake the threads
        source="4 cores x 4 multiply-adds x 1.8 GHz, twice that in INT8",
    ),
)
