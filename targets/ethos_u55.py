"""Microcontrollers with Arm's Ethos-U55 NPU, under TensorFlow Lite for Microcontrollers."""

from prunnet_export.target import Target

# Ethos-U55 with 256 multiply-adds of 8 bit a cycle, the largest of 32, 64, 128 and 256, beside a Cortex-M55 or M85. As
# Vela's "High-End Embedded": 500 MHz, SRAM of 4 GB/s that both share, flash of 0.5 GB/s that holds the weights.
# Sources: Arm, "Ethos-U55 NPU Technical Reference Manual" (102420); Vela 5.2, config_files/Arm/vela.ini.
# Other boards: publish a target with their own options; `vela --help` and vela.ini list what there is.
TARGET = Target(
    name="ethos-u55",
    device="microcontroller with Ethos-U55-256 at 500 MHz",
    runtime="ethos-u",
    # Compressed weights come from slow flash: zeros of any shape save that time.
    patterns=("channel", "unstructured"),
    precisions=("int8",),
    channel_multiple=16,  # activations lie in bricks of 16 channels (NHCWB16)
    source="Arm's manual and Vela 5.2; latencies are Vela's estimates",
    options={
        "accelerator": "ethos-u55-256",
        "system-config": "Ethos_U55_High_End_Embedded",
        "memory-mode": "Shared_Sram",
    },
    has_python=False,
)
