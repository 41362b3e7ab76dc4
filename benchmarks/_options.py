"""Options of ``prunnet-bench``: help texts of several commands, and the typed options of ``calibrate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prunnet_export.preprocessing import Size

PATTERNS = "channel, unstructured, block, channel+2:4, or n:m as 2:4. Repeatable."
"""Help of ``--pattern``."""


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
