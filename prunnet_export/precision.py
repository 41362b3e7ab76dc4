"""Precisions: the number formats that runtimes compute in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """A number format that a runtime computes in. A runtime of another package may define its own.

    Attributes:
        name: Its name in ``--precision``.
        weight_bytes: Bytes of a weight or activation.
        parity: Default of the parity gate: the least cosine to the torch subnetwork, on the worst image.
        needs_images: Whether compiling needs calibration images, for the ranges of activations.
    """

    name: str
    weight_bytes: float
    parity: float
    needs_images: bool = False


# Source of the parity of bf16 and int8: on six cuts of the demo network, the worst 1 - cosine of 400 queries was 1.6e-4
# and 6e-3. A ResNet-18 with random weights has 1.2e-3 in bf16. fp16 has three bits more, so a 64th of that error.
FP32 = Precision("fp32", weight_bytes=4, parity=0.999)
FP16 = Precision("fp16", weight_bytes=2, parity=0.999)
BF16 = Precision("bf16", weight_bytes=2, parity=0.995)
INT8 = Precision("int8", weight_bytes=1, parity=0.99, needs_images=True)
