"""Our kiosk boxes."""

from prunnet_export.target import Target

TARGET = Target(
    name="kiosk",
    device="kiosk box, 4 cores",
    runtime="ort-file",
    patterns=("channel",),
    precisions=("fp32", "int8-dynamic"),
    channel_multiple=8,
    source="measured on a box: `prunnet-bench calibrate --backbone resnet18 --target kiosk`",
)
