"""Budget search: ladders of candidates, bisection on measured latencies, and the export of the chosen candidate."""

from prunnet_export.search._export import Export
from prunnet_export.search._outcome import Outcome

__all__ = ["Export", "Outcome"]
