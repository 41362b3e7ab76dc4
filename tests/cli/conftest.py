from __future__ import annotations

from tests._cli import environment, tiny_data, tiny_network
from tests._gallery_package import our_galleries

__all__ = ["environment", "our_galleries", "tiny_data", "tiny_network"]
