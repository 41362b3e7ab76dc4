"""NVIDIA Jetson Orin NX 16GB under TensorRT."""

from prunnet_export.target import Limits, Target

# GPU: Ampere, sm_87, 1024 CUDA cores in 8 multiprocessors, 32 tensor cores, 918 MHz. Two DLAs are not used here.
# The GPU alone: INT8 30 TOPS dense, 60 with 2:4; fp16 15 TFLOPS dense; 102 GB/s. The 100 TOPS of data sheets count 2:4
# and both DLAs. With JetPack 6.2's MAXN SUPER the GPU runs at 1173 MHz: 28 % more.
# Sources: NVIDIA, "Jetson Orin NX Series Data Sheet" DS-10712; NVIDIA, "Jetson AGX Orin Series Technical Brief".
# JetPack 6.2 has TensorRT 10.3 and CUDA 12.6: NVIDIA, "JetPack 6.2 Release Notes".
TARGET = Target(
    name="jetson-orin-nx",
    device="NVIDIA Jetson Orin NX 16GB (sm_87, JetPack 6)",
    runtime="tensorrt",
    patterns=("channel", "2:4", "channel+2:4"),
    precisions=("fp16", "int8"),
    channel_multiple=32,  # TensorRT pads INT8 channels to 32, and fp16 channels to 8, or 16 with 2:4
    machines=("aarch64",),
    source="NVIDIA, data sheet DS-10712; alignment: TensorRT documentation, 'Optimizing for Tensor Cores'",
    limits=Limits(
        tera_macs={"fp16": 7.5, "int8": 15},
        memory_gb_s=102,
        efficiency=0.3,  # assumed: convolutions of one image use a small part of the GPU
        layer_us=15,  # assumed: time of a kernel launch
        source="NVIDIA's data sheet DS-10712",
    ),
)
