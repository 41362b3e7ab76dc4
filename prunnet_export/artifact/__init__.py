"""Artifacts: the folder that is deployed, with a manifest of everything that was measured and verified."""

from prunnet_export.artifact._files import ALTERNATIVES, REFERENCE_FILE, chosen_model_files, read_manifest, verify_files
from prunnet_export.artifact._golden import GoldenEntry, GoldenPair, read_golden, write_golden
from prunnet_export.artifact._held import HeldArtifact, held
from prunnet_export.artifact._input_steps import InputSteps
from prunnet_export.artifact._loaded import LoadedArtifact, load
from prunnet_export.artifact._manifest import (
    MANIFEST,
    AlternativeEntry,
    FrontierEntry,
    Manifest,
    MemoryEntry,
    NetworkEntry,
    RuntimeEntry,
    SubnetworkEntry,
)
from prunnet_export.artifact._manifest_file import utc_now
from prunnet_export.artifact._names import REJECTED
from prunnet_export.artifact._recovery import restore
from prunnet_export.artifact._report import (
    budget_checks,
    budget_skips,
    frontier_plot,
    frontier_table,
    gate_check,
    gate_skips,
    latency_rows,
    latency_tables,
    manifest_checks,
    manifest_document,
    manifest_skips,
    threshold_table,
)
from prunnet_export.artifact._verification import (
    ExpectedWeights,
    GalleryEntry,
    Gate,
    MatchThreshold,
    QueryImages,
    Unchecked,
    VerificationEntry,
)
from prunnet_export.artifact._writer import ArtifactWriter

__all__ = [
    "ALTERNATIVES",
    "MANIFEST",
    "REFERENCE_FILE",
    "REJECTED",
    "AlternativeEntry",
    "ArtifactWriter",
    "ExpectedWeights",
    "FrontierEntry",
    "GalleryEntry",
    "Gate",
    "GoldenEntry",
    "GoldenPair",
    "HeldArtifact",
    "InputSteps",
    "LoadedArtifact",
    "Manifest",
    "MatchThreshold",
    "MemoryEntry",
    "NetworkEntry",
    "QueryImages",
    "RuntimeEntry",
    "SubnetworkEntry",
    "Unchecked",
    "VerificationEntry",
    "budget_checks",
    "budget_skips",
    "chosen_model_files",
    "frontier_plot",
    "frontier_table",
    "gate_check",
    "gate_skips",
    "held",
    "latency_rows",
    "latency_tables",
    "load",
    "manifest_checks",
    "manifest_document",
    "manifest_skips",
    "read_golden",
    "read_manifest",
    "restore",
    "threshold_table",
    "utc_now",
    "verify_files",
    "write_golden",
]
