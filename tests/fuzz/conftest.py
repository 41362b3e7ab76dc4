"""The network, the data set and the environment of commands."""

from __future__ import annotations

from tests._cli import environment, tiny_data, tiny_network

__all__ = ["environment", "tiny_data", "tiny_network"]
