"""NVIDIA RTX desktop GPUs from Ampere on, under TensorRT-RTX."""

from prunnet_export.target import Limits, Target

# One engine is built for all of them: sm_86 (RTX 30), sm_89 (RTX 40), sm_120 (RTX 50).
# GeForce RTX 3060, the smallest common one (GA106, 28 multiprocessors, 1777 MHz): 51 TFLOPS dense fp16, 102 TOPS dense
# INT8, both doubled by 2:4; 360 GB/s. GeForce RTX 4090: 330 TFLOPS, 661 TOPS; 1008 GB/s. fp16 figures are with fp16
# sums. With fp32 sums, GeForce cards are half as fast.
# Sources: NVIDIA, "Ampere GA102 GPU Architecture" white paper, appendix A, scaled by multiprocessors and clock to
# GA106; NVIDIA, "Ada GPU Architecture" white paper, appendix A.
TARGET = Target(
    name="rtx",
    device="NVIDIA GeForce RTX 30, 40 or 50",
    runtime="tensorrt-rtx",
    patterns=("channel", "2:4", "channel+2:4"),
    precisions=("fp16", "int8"),
    channel_multiple=32,  # TensorRT pads INT8 channels to 32, and fp16 channels to 8, or 16 with 2:4
    machines=("x86_64", "AMD64"),
    options={"compute_capabilities": "86,89,120"},
    source="NVIDIA, white papers of GA102 and Ada; alignment: TensorRT documentation, 'Optimizing for Tensor Cores'",
    limits=Limits(
        tera_macs={"fp16": 25.5, "int8": 51},
        memory_gb_s=360,
        efficiency=0.2,  # assumed: convolutions of one image use a small part of the GPU
        layer_us=8,  # assumed: time of a kernel launch
        source="NVIDIA's figures for a GeForce RTX 3060",
    ),
)
