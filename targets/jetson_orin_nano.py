"""NVIDIA Jetson Orin Nano 8GB under TensorRT."""

from prunnet_export.target import Limits, Target

# GPU: Ampere, sm_87, 1024 CUDA cores in 8 multiprocessors, 32 tensor cores, no DLA. Its memory is the processor's.
# As "Super" (MAXN SUPER, 1020 MHz, JetPack 6.1 on): INT8 33 TOPS dense, 67 with 2:4; fp16 17 TFLOPS dense;
# 102 GB/s. At 15 W (625 MHz): INT8 20 TOPS dense, 40 with 2:4; fp16 10 TFLOPS dense; 68 GB/s.
# Sources: NVIDIA, "Jetson Orin Nano Series Data Sheet" DS-11105; NVIDIA's technical blog, "NVIDIA Jetson Orin Nano
# Developer Kit Gets a 'Super' Boost", December 2024.
# JetPack 6.2 has TensorRT 10.3 and CUDA 12.6: NVIDIA, "JetPack 6.2 Release Notes".
TARGET = Target(
    name="jetson-orin-nano",
    aliases=("jetson",),
    device="NVIDIA Jetson Orin Nano 8GB (sm_87, JetPack 6)",
    runtime="tensorrt",
    patterns=("channel", "2:4", "channel+2:4"),
    precisions=("fp16", "int8"),
    channel_multiple=32,  # TensorRT pads INT8 channels to 32, and fp16 channels to 8, or 16 with 2:4
    machines=("aarch64",),
    source="NVIDIA, data sheet DS-11105; alignment: TensorRT documentation, 'Optimizing for Tensor Cores'",
    limits=Limits(
        tera_macs={"fp16": 8.5, "int8": 16.5},
        memory_gb_s=102,
        efficiency=0.3,  # assumed: convolutions of one image use a small part of the GPU
        layer_us=15,  # assumed: time of a kernel launch
        source="NVIDIA's data sheet DS-11105 at MAXN SUPER",
    ),
)
