"""iPhones under Core ML."""

from prunnet_export.target import Limits, Target

# iPhone 14 Pro: A16, a Neural Engine of 17 * 10^12 operations a second (fp16), which no app has to ask for.
# Sources: Apple, "Apple debuts iPhone 14 Pro and iPhone 14 Pro Max", September 2022; for sparse weights and latencies,
# coremltools' guide, "Pruning: Performance": ResNet-50 takes 1.52 ms in fp16, 1.28 ms with 75 % unstructured zeros;
# MobileNetV2 0.48 and 0.46 ms; MobileNetV3-Small 0.13 and 0.12 ms. So zeros buy size first: 1.7 to 3.2 times less.
TARGET = Target(
    name="iphone",
    device="iPhone 14 Pro (A16)",
    runtime="coreml",
    patterns=("channel", "unstructured"),
    precisions=("fp16",),  # fp32 would keep the network off the Neural Engine
    channel_multiple=8,  # a vector of fp16; what the Neural Engine steps by is not public
    machines=("iPhone15,2", "iPhone15,3"),
    source="Apple's press release and coremltools' guide; nothing was measured on one",
    has_python=False,
    limits=Limits(
        tera_macs={"fp16": 8.5},
        memory_gb_s=51.2,  # not published: LPDDR5-6400 of 64 bit, as teardowns found
        efficiency=0.5,  # fitted to those latencies
        layer_us=1,  # assumed: they leave room for nothing, which cannot hold for small networks
        source="half of 17 TOPS; 1.3 to 1.8 times Apple's latencies of ResNet-50, MobileNetV2 and MobileNetV3-Small",
    ),
)
