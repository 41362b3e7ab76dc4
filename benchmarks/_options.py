"""What commands of ``prunnet-bench`` are asked for, typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CalibrateOptions:
    """What ``prunnet-bench calibrate`` is asked for.

    Attributes:
        targets: What to build for.
        backbone: Name of the architecture.
        crop_px: Side of the input image, pixels.
        patterns: Shapes of zeros; none for each target's own, and ``unstructured``.
        capacities: Asked of each pattern.
        samples: Per model and run; there are three runs.
        out: Where the table goes; None for the user's cache.
        device: Where to measure.
        threads: Intra-operator threads; None leaves it to the engine.
        output_format: Of the result on stdout.
    """

    targets: tuple[str, ...]
    backbone: str
    crop_px: int
    patterns: tuple[str, ...]
    capacities: tuple[float, ...]
    samples: int
    out: Path | None
    device: str
    threads: int | None
    output_format: str
