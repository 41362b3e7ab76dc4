"""Budget search: ladders of candidates, bisection on what was measured, and the export that it ends in."""

from prunnet_export.search._bisect import largest_inside
from prunnet_export.search._export import Export, Select
from prunnet_export.search._ladder import ladder
from prunnet_export.search._outcome import Outcome

__all__ = ["Export", "Outcome", "Select", "ladder", "largest_inside"]
