"""The cache folder: it holds files that this package can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$PRUNNET_EXPORT_CACHE``, else ``prunnet-export`` in the user's cache folder."""
    chosen = os.environ.get("PRUNNET_EXPORT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunnet-export"
