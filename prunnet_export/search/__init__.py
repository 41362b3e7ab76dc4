"""Budget search: ladders of candidates, bisection on what was measured, and the export that it ends in."""

from prunnet_export.search._export import Export
from prunnet_export.search._outcome import Outcome

__all__ = ["Export", "Outcome"]
