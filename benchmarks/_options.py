"""The typed options of ``prunnet-bench calibrate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prunnet_export.preprocessing import Size


@dataclass(frozen=True)
class CalibrateOptions:
    """The options of ``calibrate``, as its help describes them."""

    targets: tuple[str, ...]
    backbone: str
    crop_px: Size
    patterns: tuple[str, ...]
    capacities: tuple[float, ...]
    samples: int
    out: Path | None
    device: str
    threads: int | None
    output_format: str
