"""The types of single values in a manifest, with their limits."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Relative names without "..", hidden parts and backslashes. (?!\n): in Python, $ also matches before a last line feed.
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*(?!\n)$"

FileName = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=200)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Capacity = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
