"""x86-64 processors under OpenVINO's CPU plug-in."""

from prunnet_export.target import Target

TARGET = Target(
    name="x86-openvino",
    device="x86-64 processor",
    runtime="openvino",
    patterns=("channel",),
    precisions=("fp32", "bf16", "int8"),
    channel_multiple=8,  # one AVX2 register of fp32; a partly filled register takes the same time
    machines=("x86_64", "AMD64"),
    source="measured: `prunnet-bench calibrate --backbone resnet18 --target x86-openvino`",
)
