"""Building: from a subnetwork to a compiled model, by way of ONNX."""

from prunnet_export.building._build import Build, Candidate
from prunnet_export.building._builder import Builder
from prunnet_export.building._cache import BuildCache
from prunnet_export.building._onnx import export_onnx

__all__ = ["Build", "BuildCache", "Builder", "Candidate", "export_onnx"]
