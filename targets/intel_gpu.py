"""Integrated Intel graphics under OpenVINO's GPU plugin."""

from prunnet_export.target import Limits, Target

# Iris Xe of Core i7-1165G7: 96 execution units of 8 fp32 lanes at 1.3 GHz, two operations per lane. fp16 is twice as
# fast, INT8 four times (DP4A). It shares two channels of LPDDR4X-4266 with the processor.
# Source: Intel, "Intel Processor Graphics Xe-LP API Developer and Optimization Guide"; ARK for i7-1165G7.
TARGET = Target(
    name="intel-gpu",
    device="Intel integrated graphics (Xe)",
    runtime="openvino-gpu",
    patterns=("channel",),
    precisions=("fp16", "int8"),
    channel_multiple=16,  # the layouts of the plugin have blocks of 16 channels
    machines=("x86_64", "AMD64"),
    source="Intel's optimization guide for Xe-LP; nothing was measured on one",
    limits=Limits(
        tera_macs={"fp32": 1.0, "fp16": 2.0, "int8": 4.0},
        memory_gb_s=68,
        efficiency=0.3,  # assumed: convolutions of one image use a small part of the GPU
        layer_us=15,  # assumed: time of a kernel launch
        source="Intel's figures for the Iris Xe of a Core i7-1165G7",
    ),
)
