"""Exporting: from a cut network to ONNX, and from there to what a runtime loads."""

from prunnet_export.exporting._onnx import export_onnx

__all__ = ["export_onnx"]
