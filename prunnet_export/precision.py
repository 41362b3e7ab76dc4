"""Precisions: what a runtime executes in, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """A number format that a runtime executes in. A runtime of another package may bring its own.

    Attributes:
        name: What ``--precision`` takes.
        weight_bytes: Bytes of a weight or activation.
        parity: Worst cosine to the torch subnetwork that an exported file has to reach, unless another is asked for.
        needs_images: Whether compiling needs calibration images, for the ranges of activations.
    """

    name: str
    weight_bytes: float
    parity: float
    needs_images: bool = False


# The parity of bf16 and int8: 1 - cosine came to 1.6e-4 and 6e-3, the worst of 400 queries over six cuts of the demo
# network. A ResNet-18 of random weights comes to 1.2e-3 in bf16; fp16 has three bits more: a 64th.
FP32 = Precision("fp32", weight_bytes=4, parity=0.999)
FP16 = Precision("fp16", weight_bytes=2, parity=0.999)
BF16 = Precision("bf16", weight_bytes=2, parity=0.995)
INT8 = Precision("int8", weight_bytes=1, parity=0.99, needs_images=True)
