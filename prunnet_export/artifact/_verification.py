"""The part of a manifest that says how the exported file was verified, and against which gallery."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from prunnet_export.artifact._fields import Count, Positive, Share
from prunnet_export.file_names import Sha256
from prunnet_export.thresholds import Thresholds

QueryImages = Literal["files", "pixels", "none"]
"""The form in which an artifact holds the images that it was verified with: ``files`` as they were, ``pixels`` after
the preprocessing, or ``none`` of them."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate of a verification.

    Attributes:
        name: Name of the gate.
        value: The value that was found.
        threshold: The value to compare with; null if the value is only reported.
        comparison: The required relation of value to threshold; null if there is no threshold.
        passed: Whether the gate passed.
        n: Number of images, nodes, layers or weights that the value was computed on.
        interval: The 95 % interval of the value; null if it has none. Its lower end is compared with the threshold.
        note: What the value means, for people.
    """

    name: str
    value: float
    threshold: float | None = None
    comparison: Literal[">=", "<="] | None = None
    passed: bool
    n: Count
    interval: tuple[float, float] | None = None
    note: str = ""

    def found(self) -> str:
        """The value as text, with its interval."""
        interval = "" if self.interval is None else f" (95% {self.interval[0]:.4g} to {self.interval[1]:.4g})"
        return f"{self.value:.4g}{interval}"


class Unchecked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gate that could not be looked at, because what it needs is not in the artifact. It has not passed.

    Attributes:
        name: Name of the gate.
        reason: What is missing.
    """

    name: str
    reason: str


class ExpectedWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of elements, and of zeros, in the torch subnetwork's weights of two or more dimensions."""

    elements: Positive
    zeros: Count


class GalleryEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gallery of a verification.

    Attributes:
        made_by: The model that made it.
        file: Name of its file, without folders, or a kind of database and a collection, e.g. ``milvus:products``; null
            if it is made of images or of vectors of the network's folder.
        sha256: SHA-256 of the file; null if there is none.
        engine: The database that searched it, with its version and its index; null if this tool searched.
        count: Number of vectors.
        dim: Length of a vector. Of a longer query, only the first numbers are compared.
        stored: The form of the stored numbers, e.g. ``float16``.
        metric: How a query is compared with a vector.
        unit: Whether its vectors are unit vectors. Then a query that was cut is made a unit vector again.
        query_scale: Factor for an embedding of the artifact before it is compared; 1 unless the metric is ``l2`` and
            the vectors are no unit vectors.
    """

    made_by: Literal["dense network", "teacher"] = "dense network"
    file: str | None = None
    sha256: Sha256 | None = None
    engine: str | None = None
    count: Positive
    dim: Positive
    stored: str
    metric: Literal["cosine", "dot", "l2"]
    unit: bool = True
    query_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class MatchThreshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds at which the teacher and the artifact accept the same share of wrong pairs.

    A pair is a query and a gallery vector that is not of the same image, nor of the same label where labels are known.

    Attributes:
        false_accept_rate: The share of the pairs that is accepted.
        pairs: Number of pairs.
        teacher: The teacher's threshold: least similarity, or with the metric ``l2`` largest distance.
        artifact: The artifact's threshold, for its embedding times the gallery's ``query_scale``.
    """

    false_accept_rate: Share
    pairs: Positive
    teacher: float
    artifact: float


class VerificationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verification of the exported file against the teacher's gallery. The teacher may be the dense network.

    Attributes:
        gates: Results of all gates.
        thresholds: Thresholds of the gates.
        expected: Expected weights of the shipped file.
        cross_r1: R@1 of the cross-test: query by the artifact, gallery by the teacher.
        cross_map: mAP of the cross-test; null if only rows of the gallery were kept.
        self_r1: R@1 of the self-test: query and gallery by the artifact.
        self_map: mAP of the self-test.
        teacher_self_r1: R@1 of the teacher's self-test: query and gallery by the teacher.
        teacher_self_map: mAP of the teacher's self-test; null if only rows of the gallery were kept.
        cross_r1_interval: The 95 % interval of ``cross_r1``, by a bootstrap over the queries; null in older artifacts.
        self_r1_interval: That of ``self_r1``.
        teacher_self_r1_interval: That of ``teacher_self_r1``.
        n_queries: Number of query images.
        n_gallery: Number of gallery images.
        gallery: The gallery.
        match_thresholds: Thresholds that keep the teacher's false-accept rate, from the export.
        data: Name of the data set.
        query_images: The form in which the artifact holds the query images.
        unchecked: Gates that were not looked at, each with the reason.
    """

    gates: list[Gate]
    thresholds: Thresholds
    expected: ExpectedWeights
    cross_r1: Share | None = None
    cross_map: Share | None = None
    self_r1: Share | None = None
    self_map: Share | None = None
    teacher_self_r1: Share | None = None
    teacher_self_map: Share | None = None
    cross_r1_interval: tuple[float, float] | None = None
    self_r1_interval: tuple[float, float] | None = None
    teacher_self_r1_interval: tuple[float, float] | None = None
    n_queries: Count
    n_gallery: Count
    gallery: GalleryEntry
    match_thresholds: list[MatchThreshold] = []
    data: str
    query_images: QueryImages = "files"
    unchecked: list[Unchecked] = []

    def gate(self, name: str) -> Gate | None:
        """The gate of a name; None if it was not looked at."""
        return next((gate for gate in self.gates if gate.name == name), None)

    def failures(self) -> list[str]:
        """One sentence for each gate that failed."""
        return [
            f"{gate.name}: {gate.found()}, the gate asks for {gate.threshold:.4g}"
            for gate in self.gates
            if not gate.passed
        ]
