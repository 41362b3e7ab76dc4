"""Verification: the exported file, run by its own runtime, against the dense gallery."""

from prunnet_export.verification._again import Again, artifact_reference
from prunnet_export.verification._gallery import Gallery, load_gallery, save_gallery
from prunnet_export.verification._gates import BYTES_IMAGES, Expected, Observed, Thresholds, verify
from prunnet_export.verification._metrics import (
    RetrievalMetrics,
    retrieval_metrics,
    spread,
    topk_overlap,
    worst_cosine,
)
from prunnet_export.verification._reference import REFERENCE_FILE, Reference, load_reference, save_reference
from prunnet_export.verification._sampling import choose

__all__ = [
    "BYTES_IMAGES",
    "REFERENCE_FILE",
    "Again",
    "Expected",
    "Gallery",
    "Observed",
    "Reference",
    "RetrievalMetrics",
    "Thresholds",
    "artifact_reference",
    "choose",
    "load_gallery",
    "load_reference",
    "retrieval_metrics",
    "save_gallery",
    "save_reference",
    "spread",
    "topk_overlap",
    "verify",
    "worst_cosine",
]
