"""Budget search: candidates, their builds, and bisection on what was measured."""

from prunnet_export.search._bisect import largest_inside
from prunnet_export.search._budget import Budget
from prunnet_export.search._builder import Build, Builder
from prunnet_export.search._cache import BuildCache, default_cache_folder
from prunnet_export.search._candidates import Candidate, ladder
from prunnet_export.search._evidence import Evidence
from prunnet_export.search._export import Export, Outcome, Select

__all__ = [
    "Budget",
    "Build",
    "BuildCache",
    "Builder",
    "Candidate",
    "Evidence",
    "Export",
    "Outcome",
    "Select",
    "default_cache_folder",
    "ladder",
    "largest_inside",
]
