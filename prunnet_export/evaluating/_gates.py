"""The gates: the checks that an exported file has to pass to be called verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export.artifact import ExpectedWeights, Gate, Unchecked, VerificationEntry
from prunnet_export.evaluating._gate import at_least
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._metrics import spread, worst_cosine
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._search_gates import search_gates
from prunnet_export.evaluating._zeros import Mask, layers_in_place
from prunnet_export.thresholds import Thresholds

FROM_BYTES = "bytes to vector"
_NO_FILES = "the artifact holds the pixels of the query images and not their files; the export checked it"
BYTES_IMAGES = 32  # images that are tested from their file bytes, with the artifact's preprocessing


@dataclass(frozen=True)
class Observed:
    """The results of the artifact on its runtime.

    Attributes:
        queries: float32 [n, d], embeddings of the reference's images.
        from_bytes: float32 [k, d], embeddings of the first k images, computed from their file bytes with the
            artifact's preprocessing; None if the files are not here.
        gallery: float32 [m, d], the artifact's embeddings of the gallery images, for the self-test; or None.
        weights: Constant tensors in the shipped file; None if this machine cannot read them.
        placement: Number of nodes on each device of the runtime.
    """

    queries: Embeddings
    from_bytes: Embeddings | None
    gallery: Embeddings | None
    weights: Mapping[str, npt.NDArray[np.generic]] | None
    placement: Mapping[str, int]


@dataclass(frozen=True)
class Expected:
    """The expected content of the shipped file.

    Attributes:
        weights: Numbers of weights and of zeros in the torch subnetwork.
        device: The device of the runtime that all nodes should run on.
        masks: For each layer with zeros of the pattern, the mask of the weights that stay.
    """

    weights: ExpectedWeights
    device: str = "CPU"
    masks: tuple[Mask, ...] = ()


def verify(observed: Observed, reference: Reference, expected: Expected, thresholds: Thresholds) -> VerificationEntry:
    """Verify an artifact against its reference.

    Embeddings that are not finite or are zero fail the gate ``finite``. Then no gate uses the embeddings.

    Args:
        observed: Results of the artifact.
        reference: Embeddings of the teacher and of the torch subnetwork.
        expected: Expected content of the shipped file.
        thresholds: Thresholds of the gates; the parity must not be None.

    Raises:
        InvalidInput: embeddings do not have the reference's shape.
    """
    gates = [_finite_gate(observed)]
    figures: dict[str, Any] = {}
    if gates[0].passed:
        gates += _embedding_gates(observed, reference, thresholds)
    gates += file_gates(observed.weights, observed.placement, expected)
    if gates[0].passed:
        searched, figures = search_gates(observed.queries, observed.gallery, reference, thresholds)
        gates += searched
    return VerificationEntry(
        gates=gates,
        thresholds=thresholds,
        expected=expected.weights,
        n_queries=len(reference.images),
        n_gallery=reference.entry.count,
        gallery=reference.entry,
        match_thresholds=[],
        data=reference.source,
        query_images="pixels" if reference.pixels else "files",
        unchecked=[] if observed.from_bytes is not None else [Unchecked(name=FROM_BYTES, reason=_NO_FILES)],
        **figures,
    )


def _finite_gate(observed: Observed) -> Gate:
    parts = [one for one in (observed.queries, observed.from_bytes, observed.gallery) if one is not None]
    rows = np.concatenate([np.isfinite(part).all(axis=1) & (part != 0).any(axis=1) for part in parts])
    return at_least(
        "finite", float(rows.mean()), 1.0, n=len(rows), note="share of the embeddings that are finite and not zero"
    )


def _embedding_gates(observed: Observed, reference: Reference, thresholds: Thresholds) -> list[Gate]:
    if thresholds.parity is None:
        raise ValueError("the threshold of the parity is None")
    torch_side = reference.subnetwork_queries
    teacher_spread = spread(reference.teacher_queries)
    gates = [
        at_least(
            "parity",
            worst_cosine(observed.queries, torch_side),
            thresholds.parity,
            n=len(torch_side),
            note="worst cosine between the exported file and the torch subnetwork",
        ),
        at_least(
            "spread",
            spread(observed.queries) / teacher_spread if teacher_spread > 0 else 0.0,
            thresholds.spread,
            n=len(observed.queries),
            note=f"1 - mean pairwise cosine, as a share of the {reference.entry.made_by}'s",
        ),
    ]
    if observed.from_bytes is not None:
        from_bytes = at_least(
            FROM_BYTES,
            worst_cosine(observed.from_bytes, torch_side[: len(observed.from_bytes)]),
            thresholds.parity,
            n=len(observed.from_bytes),
            note="worst cosine from image bytes through the artifact's own preprocessing",
        )
        gates.insert(1, from_bytes)
    return gates


def file_gates(
    weights: Mapping[str, npt.NDArray[np.generic]] | None, placement: Mapping[str, int], expected: Expected
) -> list[Gate]:
    """The gates that need no image: the weights in the shipped file, if they can be read, and the placement."""
    nodes = sum(placement.values())
    placed = at_least(
        "placement",
        placement.get(expected.device, 0) / max(1, nodes),
        1.0,
        n=nodes,
        note=f"share of the nodes that the runtime placed on {expected.device}",
    )
    return [placed] if weights is None else [*_weight_gates(weights, expected), placed]


def _weight_gates(weights: Mapping[str, npt.NDArray[np.generic]], expected: Expected) -> list[Gate]:
    tensors = [tensor for tensor in weights.values() if tensor.ndim > 1]
    elements = sum(tensor.size for tensor in tensors)
    zeros = sum(int((tensor == 0).sum()) for tensor in tensors)
    elements_expected = max(1, expected.weights.elements)
    gates = [
        at_least(
            "zeros kept",
            zeros / max(1, elements),
            # Mean and std are constants too, but only a few elements among millions.
            expected.weights.zeros / elements_expected * 0.999,
            n=elements,
            note="share of zeros among the weights in the shipped file",
        ),
        Gate(
            name="weights shipped",
            value=elements / elements_expected,
            threshold=1.01 + 1000 / elements_expected,
            comparison="<=",
            passed=elements <= 1.01 * elements_expected + 1000,
            n=elements,
            note="weights in the shipped file as a share of the subnetwork's",
        ),
    ]
    if expected.masks:
        gates.append(
            at_least(
                "zeros in place",
                layers_in_place(expected.masks, tensors) / len(expected.masks),
                1.0,
                n=len(expected.masks),
                note="share of the layers with zeros that have all of them where the pattern put them",
            )
        )
    return gates
