"""Microcontrollers with Arm's Ethos-U55 NPU, under TensorFlow Lite for Microcontrollers."""

from prunnet_export.target import Target

# Ethos-U55 with 256 8-bit multiply-adds per cycle, the largest of 32, 64, 128 and 256, beside a Cortex-M55 or M85.
# Vela's "High-End Embedded" system: 500 MHz, 4 GB/s of SRAM that both share, 0.5 GB/s of flash with the weights.
# Sources: Arm, "Ethos-U55 NPU Technical Reference Manual" (102420); Vela 5.2, config_files/Arm/vela.ini.
# For another board, publish a target with its options, which `vela --help` and vela.ini list.
TARGET = Target(
    name="ethos-u55",
    device="microcontroller with Ethos-U55-256 at 500 MHz",
    runtime="ethos-u",
    # Weights in the slow flash are compressed, so zeros of any pattern save time.
    patterns=("channel", "unstructured"),
    precisions=("int8",),
    channel_multiple=16,  # activations are stored in blocks of 16 channels (NHCWB16)
    source="Arm's manual and Vela 5.2; latencies are Vela's estimates",
    options={
        "accelerator": "ethos-u55-256",
        "system-config": "Ethos_U55_High_End_Embedded",
        "memory-mode": "Shared_Sram",
    },
    has_python=False,
)
