from __future__ import annotations

from tests._cli import tiny_data, tiny_network
from tests.search._exports import build_folder, workshop

__all__ = ["build_folder", "tiny_data", "tiny_network", "workshop"]
