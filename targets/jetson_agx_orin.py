"""NVIDIA Jetson AGX Orin 64GB under TensorRT."""

from prunnet_export.target import Limits, Target

# GPU: Ampere, sm_87, 2048 CUDA cores in 16 multiprocessors, 64 tensor cores, 1.3 GHz. Two DLAs are not used here.
# The GPU alone: INT8 85 TOPS dense, 170 with 2:4; fp16 43 TFLOPS dense; 204.8 GB/s. The 275 TOPS of data sheets count
# 2:4 and both DLAs.
# Sources: NVIDIA, "Jetson AGX Orin Series Data Sheet" DS-10662; NVIDIA, "Jetson AGX Orin Series Technical Brief".
# JetPack 6.2 has TensorRT 10.3 and CUDA 12.6: NVIDIA, "JetPack 6.2 Release Notes".
TARGET = Target(
    name="jetson-agx-orin",
    device="NVIDIA Jetson AGX Orin 64GB (sm_87, JetPack 6)",
    runtime="tensorrt",
    patterns=("channel", "2:4", "channel+2:4"),
    precisions=("fp16", "int8"),
    channel_multiple=32,  # TensorRT pads INT8 channels to 32, and fp16 channels to 8, or 16 with 2:4
    machines=("aarch64",),
    source="NVIDIA, data sheet DS-10662; alignment: TensorRT documentation, 'Optimizing for Tensor Cores'",
    limits=Limits(
        tera_macs={"fp16": 21.5, "int8": 42.5},
        memory_gb_s=204.8,
        efficiency=0.25,  # assumed: convolutions of one image use a small part of the GPU
        layer_us=12,  # assumed: time of a kernel launch
        source="NVIDIA's data sheet DS-10662",
    ),
)
