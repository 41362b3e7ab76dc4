"""x86-64 processors under MNN's CPU backend."""

from prunnet_export.target import Target

TARGET = Target(
    name="x86-mnn",
    device="x86-64 processor",
    runtime="mnn",
    patterns=("block", "channel", "unstructured"),
    precisions=("fp32",),
    channel_multiple=8,  # one AVX2 register of fp32, in which MNN packs channels
    machines=("x86_64", "AMD64"),
    source="measured: `prunnet-bench calibrate --backbone resnet18 --target x86-mnn`",
)
