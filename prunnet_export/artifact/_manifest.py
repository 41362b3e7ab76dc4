"""The types of manifest.json: everything that is known about an artifact. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import msgspec

from prunnet_export.budget import Amount, Budget, Figures
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import LatencyReport, Source
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.thresholds import Thresholds

VERSION = 2
MANIFEST = "manifest.json"

# Relative names without "..", hidden parts and backslashes. (?!\n): in Python, $ also matches before a last line feed.
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*(?!\n)$"

FileName = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=200)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Capacity = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the artifact: its SHA-256 and its length."""

    sha256: Sha256
    bytes: Count


class RuntimeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine: its name and its version."""

    name: str
    version: str


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prunable network of the subnetwork."""

    name: str
    sha256: Sha256
    backbone: str
    embedding_dim: Positive


class SubnetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subnetwork.

    Attributes:
        pattern: The shape of the zeros.
        capacity: Kept fraction of the prunable weights.
        capacity_asked: The fraction before widths were rounded.
        precision: The number format that the engine computes in.
        channel_multiple: Kept widths are multiples of this.
        weights_kept: Number of prunable weights that remain.
        weights_total: Number of prunable weights of the dense network.
        widths: Number of channels of each layer, if the pattern cuts channels; else null.
    """

    pattern: str
    capacity: Capacity
    capacity_asked: Capacity
    precision: str
    channel_multiple: Positive
    weights_kept: Count
    weights_total: Count
    widths: dict[str, Positive] | None = None

    def __str__(self) -> str:
        return f"{self.pattern} {self.capacity:.1%} {self.precision}"


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Peak resident memory above the engine alone, in MiB, and the source of that figure."""

    peak_mb: Annotated[float, msgspec.Meta(ge=0)]
    source: str


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate of a verification.

    Attributes:
        name: Name of the gate.
        value: The value that was found.
        threshold: The value to compare with; null if the value is only reported.
        comparison: The required relation of value to threshold; null if there is no threshold.
        passed: Whether the gate passed.
        n: Number of images, nodes, layers or weights that the value was computed on.
        note: What the value means, for people.
    """

    name: str
    value: float
    threshold: float | None = None
    comparison: Literal[">=", "<="] | None = None
    passed: bool
    n: Count
    note: str = ""


class ExpectedWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of elements, and of zeros, in the torch subnetwork's weights of two or more dimensions."""

    elements: Positive
    zeros: Count


class VerificationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verification of the exported file against the dense gallery.

    Attributes:
        gates: Results of all gates.
        thresholds: Thresholds of the gates.
        expected: Expected weights of the shipped file.
        cross_r1: R@1 of the cross-test: query by the artifact, gallery by the dense network.
        cross_map: mAP of the cross-test.
        self_r1: R@1 of the self-test: query and gallery by the artifact.
        self_map: mAP of the self-test.
        dense_self_r1: R@1 of the dense self-test: query and gallery by the dense network.
        dense_self_map: mAP of the dense self-test.
        n_queries: Number of query images.
        n_gallery: Number of gallery images.
        data: Name of the data set.
    """

    gates: list[Gate]
    thresholds: Thresholds
    expected: ExpectedWeights
    cross_r1: Share | None = None
    cross_map: Share | None = None
    self_r1: Share | None = None
    self_map: Share | None = None
    dense_self_r1: Share | None = None
    dense_self_map: Share | None = None
    n_queries: Count
    n_gallery: Count
    data: str

    def failures(self) -> list[str]:
        """One sentence for each gate that failed."""
        return [
            f"{gate.name}: {gate.value:.4g}, the gate asks for {gate.threshold:.4g}"
            for gate in self.gates
            if not gate.passed
        ]


class _Candidate(Protocol):
    """The facts of a candidate in a row of the frontier."""

    @property
    def pattern(self) -> str: ...
    @property
    def capacity(self) -> float: ...
    @property
    def precision(self) -> str: ...


class FrontierEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A candidate that the search measured or predicted."""

    pattern: str
    capacity: Capacity
    precision: str
    p50_ms: Amount
    upper_ms: Amount
    size_mb: Amount
    inside: bool
    n: Count
    source: Source = "measured"

    @classmethod
    def of(cls, candidate: _Candidate, latency: LatencyReport, *, size_mb: float, inside: bool) -> FrontierEntry:
        """The row of a candidate with this latency."""
        return cls(
            pattern=candidate.pattern,
            capacity=candidate.capacity,
            precision=candidate.precision,
            p50_ms=latency.p50_ms,
            upper_ms=latency.upper_ms,
            size_mb=size_mb,
            inside=inside,
            n=latency.n,
            source=latency.source,
        )


class AlternativeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another candidate in the artifact. The device may choose it after measuring.

    Attributes:
        entry: The file that the engine opens.
        reference: The file with the embeddings of its torch subnetwork.
        subnetwork: The subnetwork.
        latency: Predicted latency.
        size_mb: Size of its files, in MB of 10^6 bytes.
        verification: Verification on the host.
    """

    entry: FileName
    reference: FileName
    subnetwork: SubnetworkEntry
    latency: LatencyReport
    size_mb: Amount
    verification: VerificationEntry


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact's manifest.

    Attributes:
        format: Always ``prunnet-artifact``.
        version: Version of this format.
        status: ``verified`` if every gate passed, else ``rejected``.
        reasons: The reasons of a rejection.
        created: Time of the export: UTC, ISO 8601, to the second.
        files: Every file except the manifest.
        entry: The file that the engine opens.
        target: Name of the hardware profile.
        runtime: The engine that the artifact was compiled for.
        network: The prunable network.
        subnetwork: The subnetwork that was cut from the network.
        preprocessing: How an image becomes an input; mean and std are applied inside the graph.
        budget: The budget of the export.
        latency: Latency, measured or predicted.
        dense_latency: Latency of the dense network, from the same measurement or prediction.
        memory: Peak memory; null if it is not known.
        size_mb: Size of all model files, in MB of 10^6 bytes.
        verification: Verification against the dense gallery.
        frontier: All candidates that the search measured or predicted.
        built: Whether the engine can run the files; if not, the device still has to build the engine from them.
        verified_by: The engine of the verification, if the artifact's own engine does not run on the host; else null.
        alternatives: Other candidates; only if the latency was predicted.
        device: The device that measured; null if the latency is predicted.
        tools: Versions of the installed distributions.
    """

    format: Literal["prunnet-artifact"] = "prunnet-artifact"
    version: Literal[2] = 2
    status: Literal["verified", "rejected"]
    reasons: list[str] = []
    created: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?!\n)$")]
    files: dict[FileName, FileEntry] = {}
    entry: FileName
    target: str
    runtime: RuntimeEntry
    network: NetworkEntry
    subnetwork: SubnetworkEntry
    preprocessing: Preprocessing
    budget: Budget
    latency: LatencyReport
    dense_latency: LatencyReport | None = None
    memory: MemoryEntry | None = None
    size_mb: Amount
    verification: VerificationEntry
    frontier: list[FrontierEntry] = []
    built: bool = True
    verified_by: RuntimeEntry | None = None
    alternatives: list[AlternativeEntry] = []
    device: Fingerprint | None = None
    tools: dict[str, str] = {}

    @property
    def figures(self) -> Figures:
        """The figures that the budget limits."""
        return Figures(self.latency.upper_ms, self.size_mb, None if self.memory is None else self.memory.peak_mb)
