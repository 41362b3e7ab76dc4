"""Fixtures of the galleries in databases."""

from tests._gallery_package import our_galleries

__all__ = ["our_galleries"]
