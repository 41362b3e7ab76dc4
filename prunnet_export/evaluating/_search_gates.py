"""The gates of the search: does the artifact find in the gallery what the teacher finds?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prunnet_export.artifact import GalleryEntry, Gate
from prunnet_export.evaluating._bootstrap import interval_of_mean
from prunnet_export.evaluating._gate import at_least
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._metrics import retrieval_metrics, topk_overlap
from prunnet_export.evaluating._reference import Reference
from prunnet_export.relevance import Relevance
from prunnet_export.thresholds import Thresholds
from prunnet_export.vectors import first_dimensions

NEIGHBOURS = 10
_SHORT = {"dense network": "dense", "teacher": "teacher"}


def search_gates(
    artifact: Embeddings, artifact_gallery: Embeddings | None, reference: Reference, thresholds: Thresholds
) -> tuple[list[Gate], dict[str, Any]]:
    """The gates of the search in the gallery, and if the relevance is known the test figures with intervals of R@1.

    Args:
        artifact: float32 [n, d], the artifact's embeddings of the query images.
        artifact_gallery: float32 [m, d], its embeddings of the gallery images, for the self-test; or None.
        reference: Embeddings of the teacher, and the gallery.
        thresholds: Thresholds of the gates.
    """
    whose = _SHORT[reference.entry.made_by]
    queries = searching(artifact, reference.entry, from_artifact=True)
    teacher = searching(reference.teacher_queries, reference.entry)
    overlap = topk_overlap(
        queries,
        teacher,
        reference.gallery,
        k=NEIGHBOURS,
        relevance=reference.relevance,
        metric=reference.entry.metric,
    )
    relevance = reference.relevance
    judged = relevance is not None and bool(relevance.counts().any())
    neighbours = at_least(
        "neighbour overlap",
        float(overlap.mean()),
        None if judged else thresholds.overlap,
        n=len(overlap),
        interval=interval_of_mean(overlap),
        note=f"mean share of the {whose} query's {NEIGHBOURS} nearest in the {whose} gallery",
    )
    if relevance is None or not judged:
        return [neighbours], {}
    figures = _figures(
        {"cross": (queries, reference.gallery), "teacher_self": (teacher, reference.gallery)}
        | ({} if artifact_gallery is None else {"self": (artifact, artifact_gallery)}),
        reference,
        relevance,
    )
    recall = at_least(
        "cross-test recall",
        figures["cross_r1"] / figures["teacher_self_r1"] if figures["teacher_self_r1"] > 0 else 0.0,
        thresholds.recall,
        n=len(reference.images),
        note=f"R@1 against the {whose} gallery as a share of the {whose} self-test's",
    )
    return [neighbours, recall], figures


def searching(queries: Embeddings, gallery: GalleryEntry, *, from_artifact: bool = False) -> Embeddings:
    """Queries as they search a gallery: as long as its vectors, and of comparable lengths.

    Args:
        queries: float32 [n, d], not zero.
        gallery: The facts of the gallery, of vectors of the length p <= d.
        from_artifact: Whether they are unit vectors of an artifact and not the teacher's.

    Returns:
        float32 [n, p].
    """
    searched: Embeddings = queries[:, : gallery.dim]
    if gallery.unit:
        return first_dimensions(queries, gallery.dim)
    return searched * np.float32(gallery.query_scale) if from_artifact else searched


def _figures(
    tests: Mapping[str, tuple[Embeddings, Embeddings]], reference: Reference, relevance: Relevance
) -> dict[str, Any]:
    """R@1 of each test with its interval, and mAP if the whole gallery is here.

    A test has query and gallery embeddings.
    """
    figures: dict[str, Any] = {}
    for name, (queries, gallery) in tests.items():
        metrics = retrieval_metrics(queries, gallery, relevance, reference.protocol, reference.entry.metric)
        figures[f"{name}_r1"] = metrics.recall_at[1]
        figures[f"{name}_r1_interval"] = metrics.recall_interval[1]
        if reference.rows is None:
            figures[f"{name}_map"] = metrics.mean_average_precision
    return figures
