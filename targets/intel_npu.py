"""The NPU of Intel Core Ultra processors under OpenVINO's NPU plugin."""

from prunnet_export.target import Limits, Target

# Meteor Lake's NPU 3720: 11 TOPS dense INT8, half as much in fp16. It shares the processor's LPDDR5 memory. Lunar
# Lake's NPU has 48 TOPS.
# Source: Intel, product briefs of Core Ultra series 1 and 2.
TARGET = Target(
    name="intel-npu",
    device="Intel NPU (Core Ultra)",
    runtime="openvino-npu",
    patterns=("channel",),
    precisions=("fp16", "int8"),
    channel_multiple=16,  # its matrix units are 16 channels wide
    machines=("x86_64", "AMD64"),
    source="Intel's product briefs; nothing was measured on one",
    limits=Limits(
        tera_macs={"fp16": 2.75, "int8": 5.5},
        memory_gb_s=60,
        efficiency=0.3,  # assumed: convolutions of one image use a small part of the NPU
        layer_us=20,  # assumed: time to start a command list
        source="Intel's figures for the NPU of Core Ultra series 1",
    ),
)
