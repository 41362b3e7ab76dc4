"""Marks of tests that need something that not every machine has: tools that ``make`` fetches, or instructions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prunnet_export.devices._cpu_info import cpu_facts

TOOLS = Path(os.environ.get("PRUNNET_TESTS_TOOLS", Path(__file__).parents[1] / ".venv" / "tools"))


def needs(name: str, *, there: bool, reason: str = "make test-schemas needs or fetches it") -> pytest.MarkDecorator:
    """Skips a test whose tool is not there. It fails instead where ``PRUNNET_TESTS_NEED_<NAME>=1`` says that it is."""
    return pytest.mark.skipif(not there and not os.environ.get(f"PRUNNET_TESTS_NEED_{name}"), reason=reason)


needs_vnni = needs(
    "VNNI",
    there="flags" not in cpu_facts() or "vnni" in cpu_facts()["flags"],
    reason="without VNNI, sums of INT8 products saturate: vectors are less exact, and an export leaves layers in float",
)
"""Skips a test of the exactness of INT8 on processors of x86-64 that do not have these instructions."""
