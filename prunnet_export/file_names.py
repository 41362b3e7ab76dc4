"""Names of files in documents that are not trusted. Such a name never leads out of the folder that it belongs to."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Relative names without "..", hidden parts and backslashes. (?!\n): in Python, $ also matches before a last line feed.
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*(?!\n)$"

FileName = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=200)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
