"""The corruption table: which subnetwork breaks first when the queries are worse than the gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from prunnet_export.benchmarks._compat import settled
from prunnet_export.benchmarks.drift._corruptions import CORRUPTIONS, Corrupted, Corruption
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import (
    ChosenImages,
    Embeddings,
    Evidence,
    embed_in_torch,
    inputs_of,
    retrieval_metrics,
)
from prunnet_export.reports import Table

CLEAN = "clean"


@dataclass(frozen=True)
class DriftRow:
    """The cross-test of one subnetwork with corrupted queries and the dense network's clean gallery.

    Attributes:
        pattern: Name of the pattern.
        asked: The requested capacity.
        capacity: Kept fraction of the prunable weights.
        corruption: Name of the corruption, or ``clean``.
        strength: Its parameter; None for clean queries.
        r1: R@1.
        n: Number of queries.
    """

    pattern: str
    asked: float
    capacity: float
    corruption: str
    strength: float | None
    r1: float
    n: int


def drift_rows(
    evidence: Evidence, pattern: str, capacities: Sequence[float], channel_multiple: int
) -> Iterator[DriftRow]:
    """The rows of each subnetwork, the dense network first.

    Raises:
        InvalidInput: a capacity cannot be reached, or an image cannot be read.
        UnsupportedPattern: the network cannot be cut like this.
    """
    images = evidence.images
    gallery = images.embed_gallery(partial(embed_in_torch, evidence.checkpoint.network.embedder))
    wanted = [1.0, *(capacity for capacity in capacities if capacity < 1)]
    for subnetwork, module in settled(evidence, pattern, wanted, channel_multiple):
        for corruption, strength, split in _splits(images.data.query):
            queries = _embed(module, split, images)
            metrics = retrieval_metrics(queries, gallery, images.relevance, evidence.data.protocol)
            yield DriftRow(
                pattern=pattern,
                asked=subnetwork.asked,
                capacity=subnetwork.capacity,
                corruption=CLEAN if corruption is None else corruption.name,
                strength=strength,
                r1=metrics.recall_at[1],
                n=metrics.n_queries,
            )


def _splits(queries: ImageSplit) -> Iterator[tuple[Corruption | None, float | None, ImageSplit]]:
    yield None, None, queries
    for corruption in CORRUPTIONS:
        for strength in corruption.strengths:
            yield corruption, strength, Corrupted(queries, corruption, strength)


def _embed(module: nn.Module, split: ImageSplit, images: ChosenImages) -> Embeddings:
    return embed_in_torch(module, inputs_of(split, images.indices[0], images.preprocessing))


def drift_table(rows: Sequence[DriftRow], title: str) -> Table:
    """One line for each corruption and strength, one column of R@1 for each capacity."""
    cells = {(row.corruption, row.strength, row.asked): f"{row.r1:.1%}" for row in rows}
    asked = list(dict.fromkeys(row.asked for row in rows))
    units = {one.name: one.unit for one in CORRUPTIONS}
    lines = tuple(
        (
            name,
            "" if strength is None else f"{strength:g} ({units[name]})",
            *(cells[name, strength, one] for one in asked),
        )
        for name, strength in dict.fromkeys((row.corruption, row.strength) for row in rows)
    )
    return Table(title, ("queries", "strength", *(f"{one:.0%}" for one in asked)), lines)


def breaks_first(rows: Sequence[DriftRow]) -> str:
    """Which subnetwork loses most in comparison with the dense network, and where."""
    r1 = {(row.asked, row.corruption, row.strength): row.r1 for row in rows}
    clean = {row.asked: row.r1 for row in rows if row.corruption == CLEAN}
    kept = {key: value / clean[key[0]] for key, value in r1.items() if clean[key[0]] > 0 and key[1] != CLEAN}
    behind = {key: kept[1.0, key[1], key[2]] - share for key, share in kept.items() if (1.0, key[1], key[2]) in kept}
    worst = max(behind, key=lambda key: behind[key], default=None)
    if worst is None or behind[worst] <= 0:
        return "no subnetwork loses a larger share of its R@1 than the dense network does"
    asked, name, strength = worst
    dense = kept[1.0, name, strength]
    return (
        f"first to break: {asked:.0%} with {name} {strength:g} keeps {kept[worst]:.0%} of its clean R@1, "
        f"the dense network {dense:.0%}"
    )
