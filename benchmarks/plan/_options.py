"""The typed options of ``prunnet-bench plan`` and of ``prunnet-bench plan-accuracy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prunnet_export.training import MatchOptions, Recipe

RUNS = Path(__file__).parent / "runs.jsonl"
"""The measured runs that come with the package."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The options of ``plan``, as its help describes them."""

    recipe: Recipe
    match: MatchOptions
    weights: Path | None
    images: int
    trial_minutes: float
    min_recall: float
    min_overlap: float
    network: Path | None
    record: Path | None
    runs: Path
    device: str
    workers: int
    output_format: str
