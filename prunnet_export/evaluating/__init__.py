"""Evaluating: embed images, self-test and cross-test, and the gates of a verification.

A device may lack torch. Names that need torch are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunnet_export._imports import lazy_names
from prunnet_export.evaluating._artifact import artifact_reference, verify_again
from prunnet_export.evaluating._data_overlap import warn_of_overlap
from prunnet_export.evaluating._gallery import Gallery, save_gallery
from prunnet_export.evaluating._golden import golden_gates, save_golden
from prunnet_export.evaluating._images import ChosenImages, Embeddings, SomeImages, encoded_pixels, inputs_of
from prunnet_export.evaluating._latency import BudgetLatency, measure_for_budget
from prunnet_export.evaluating._metrics import RetrievalMetrics, retrieval_metrics, topk_overlap
from prunnet_export.evaluating._model import ModelOnDevice
from prunnet_export.evaluating._reference import Reference, load_reference, save_reference
from prunnet_export.evaluating._sampling import evenly_spread
from prunnet_export.evaluating._search_gates import search_gates
from prunnet_export.evaluating._teacher_side import TeacherSide

if TYPE_CHECKING:
    from prunnet_export.evaluating._evidence import CALIBRATION_IMAGES, Evidence
    from prunnet_export.evaluating._torch import (
        embed_in_torch,
        settling_inputs,
        settling_pairs,
        settling_vectors,
        statistics_inputs,
    )
    from prunnet_export.evaluating._verifier import Verifier

__all__ = [
    "CALIBRATION_IMAGES",
    "BudgetLatency",
    "ChosenImages",
    "Embeddings",
    "Evidence",
    "Gallery",
    "ModelOnDevice",
    "Reference",
    "RetrievalMetrics",
    "SomeImages",
    "TeacherSide",
    "Verifier",
    "artifact_reference",
    "embed_in_torch",
    "encoded_pixels",
    "evenly_spread",
    "golden_gates",
    "inputs_of",
    "load_reference",
    "measure_for_budget",
    "retrieval_metrics",
    "save_gallery",
    "save_golden",
    "save_reference",
    "search_gates",
    "settling_inputs",
    "settling_pairs",
    "settling_vectors",
    "statistics_inputs",
    "topk_overlap",
    "verify_again",
    "warn_of_overlap",
]

if not TYPE_CHECKING:  # a type checker that sees __getattr__ accepts every name
    __getattr__ = lazy_names(
        __name__,
        {
            "_evidence": ("CALIBRATION_IMAGES", "Evidence"),
            "_torch": (
                "embed_in_torch",
                "settling_inputs",
                "settling_pairs",
                "settling_vectors",
                "statistics_inputs",
            ),
            "_verifier": ("Verifier",),
        },
    )
