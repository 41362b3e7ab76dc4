"""Building: from a subnetwork to a compiled model, by way of ONNX.

A device may lack torch. Names that need torch are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunnet_export._imports import lazy_names
from prunnet_export.building._anchor import ANCHOR, build_anchor
from prunnet_export.building._cache import BuildCache

if TYPE_CHECKING:
    from prunnet_export.building._build import Build, Candidate
    from prunnet_export.building._builder import Builder
    from prunnet_export.building._onnx import export_onnx

__all__ = ["ANCHOR", "Build", "BuildCache", "Builder", "Candidate", "build_anchor", "export_onnx"]

if not TYPE_CHECKING:  # a type checker that sees __getattr__ accepts every name
    __getattr__ = lazy_names(
        __name__, {"_build": ("Build", "Candidate"), "_builder": ("Builder",), "_onnx": ("export_onnx",)}
    )
