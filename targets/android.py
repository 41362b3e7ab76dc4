"""Mid-range Android phones under MNN."""

from prunnet_export.target import Limits, Target

# The work runs on two large cores of the Cortex-A78 class at 2.4 GHz with two 128-bit NEON pipes each; LPDDR4X-4266,
# 32 bit.
# Source: Arm, "Cortex-A78 Software Optimization Guide". Phones differ by a factor of three: calibrate yours.
TARGET = Target(
    name="android",
    device="Android phone (2x Cortex-A78 class)",
    runtime="mnn",
    patterns=("block", "channel", "unstructured"),
    precisions=("fp32",),
    channel_multiple=8,  # two NEON registers of fp32, the step width of the kernels
    machines=("aarch64", "arm64"),
    source="Arm's guide; nothing was measured on one",
    limits=Limits(
        tera_macs={"fp32": 0.038},
        memory_gb_s=17.1,
        efficiency=0.5,  # assumed: share that good kernels reach on a few cores
        layer_us=5,  # assumed: time to wake the threads
        source="2 cores x 8 multiply-adds x 2.4 GHz",
    ),
)
