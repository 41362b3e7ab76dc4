"""Mid-range Android phones under LiteRT."""

from dataclasses import replace

from prunnet_export.target import Limits
from prunnet_export.targets.android import TARGET as MNN

# The phone is that of MNN's target. A pipe has dot products of INT8: 16 multiply-adds per cycle.
# Source: Arm, "Cortex-A78 Software Optimization Guide".
TARGET = replace(
    MNN,
    name="android-litert",
    runtime="litert",
    patterns=("channel",),
    precisions=("fp32", "int8"),
    limits=Limits(
        tera_macs={"fp32": 0.038, "int8": 0.154},
        memory_gb_s=17.1,
        efficiency=0.5,  # assumed: share that good kernels reach on a few cores
        layer_us=5,  # assumed: time to wake the threads
        source="2 cores x 8 multiply-adds x 2.4 GHz, four times that in INT8",
    ),
)
