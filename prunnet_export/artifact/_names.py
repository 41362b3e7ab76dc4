"""Names of folders beside an artifact: the rejected one, and those that a writer needs for a moment."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Literal

REJECTED = ".rejected"
_BYTES = 6  # of the random part of a name

Kind = Literal["partial", "old"]
"""``partial``: an artifact that is being written. ``old``: one that was moved away and is not yet replaced."""


def temporary_name(place: Path, kind: Kind) -> Path:
    """A new name of a writer's folder beside an artifact's folder."""
    return place.with_name(f".{place.name}.{kind}-{secrets.token_hex(_BYTES)}")


def temporary_folders(place: Path, kind: Kind) -> list[Path]:
    """The folders with such names, sorted; raises OSError if their parent cannot be read."""
    pattern = re.compile(rf"\.{re.escape(place.name)}\.{kind}-[0-9a-f]{{{2 * _BYTES}}}")
    return sorted(entry for entry in place.parent.iterdir() if pattern.fullmatch(entry.name))
