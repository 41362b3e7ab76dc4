"""iPhones under Core ML."""

from prunnet_export.target import Limits, Target

# iPhone 14 Pro: A16 with a Neural Engine of 17 * 10^12 operations per second (fp16). Apps use it without asking for it.
# Sources: Apple, "Apple debuts iPhone 14 Pro and iPhone 14 Pro Max", September 2022; for sparse weights and latencies,
# coremltools' guide, "Pruning: Performance": ResNet-50 takes 1.52 ms in fp16, 1.28 ms with 75 % unstructured zeros;
# MobileNetV2 0.48 and 0.46 ms; MobileNetV3-Small 0.13 and 0.12 ms. So zeros reduce mainly the size, 1.7 to 3.2 times.
TARGET = Target(
    name="iphone",
    device="iPhone 14 Pro (A16)",
    runtime="coreml",
    patterns=("channel", "unstructured"),
    precisions=("fp16",),  # the Neural Engine does not execute fp32
    channel_multiple=8,  # a vector of fp16; the step width of the Neural Engine is not public
    machines=("iPhone15,2", "iPhone15,3"),
    source="Apple's press release and coremltools' guide; nothing was measured on one",
    has_python=False,
    limits=Limits(
        tera_macs={"fp16": 8.5},
        memory_gb_s=51.2,  # not published by Apple; teardowns found LPDDR5-6400 with 64 bit
        efficiency=0.5,  # fitted to the latencies above
        layer_us=1,  # assumed: the latencies above fit 0, which cannot be right for small networks
        source="half of 17 TOPS; 1.3 to 1.8 times Apple's latencies of ResNet-50, MobileNetV2 and MobileNetV3-Small",
    ),
)
