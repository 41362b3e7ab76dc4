"""x86-64 processors under ONNX Runtime's CPU execution provider."""

from prunnet_export.target import Target

TARGET = Target(
    name="x86-onnxruntime",
    device="x86-64 processor",
    runtime="onnxruntime",
    patterns=("channel",),
    precisions=("fp32", "int8"),
    channel_multiple=8,  # one AVX2 register of fp32; a partly filled register takes the same time
    machines=("x86_64", "AMD64"),
    source="measured: `prunnet-bench calibrate --backbone resnet18 --target x86-onnxruntime`",
)
