"""The values of manifest.json: everything that is known about an artifact, versioned and strict."""

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

# Plain relative names: no "..", nothing hidden, nothing absolute, no backslash. (?!\n) because in Python's
# dialect $ also matches before a last line feed.
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
    """The engine that the artifact was compiled for and verified with."""

    name: str
    version: str


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prunable network that the subnetwork was cut from."""

    name: str
    sha256: Sha256
    backbone: str
    embedding_dim: Positive


class SubnetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subnetwork.

    Attributes:
        pattern: The shape that zeros take.
        capacity: Kept fraction of the prunable weights.
        capacity_asked: The fraction before widths were rounded.
        precision: What the engine executes in.
        channel_multiple: Kept widths are multiples of this.
        weights_kept: Prunable weights that remain.
        weights_total: Prunable weights of the dense network.
        widths: Channels by layer, where the pattern cuts channels.
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
    """Peak resident memory above the engine alone, MiB."""

    peak_mb: Annotated[float, msgspec.Meta(ge=0)]
    source: str


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that was verified.

    Attributes:
        name: What it is.
        value: What came out.
        threshold: What it had to reach; None where it is only reported.
        comparison: How.
        passed: Whether it did.
        n: Images, nodes or weights that it was computed on.
        note: For people.
    """

    name: str
    value: float
    threshold: float | None = None
    comparison: Literal[">=", "<="] | None = None
    passed: bool
    n: Count
    note: str = ""


class ExpectedWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many weights of two or more dimensions the torch subnetwork has, and how many of them are zero."""

    elements: Positive
    zeros: Count


class VerificationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the exported file does against the dense gallery.

    Attributes:
        gates: One by one.
        thresholds: What the gates asked for.
        expected: What the shipped file had to contain.
        cross_r1: R@1, query by the artifact, gallery by the dense network.
        cross_map: mAP of the same.
        self_r1: R@1, query and gallery by the artifact.
        self_map: mAP of the same.
        dense_self_r1: R@1, query and gallery by the dense network.
        dense_self_map: mAP of the same.
        n_queries: Query images.
        n_gallery: Gallery images.
        data: Where they are from.
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
        """The gates that did not hold, one sentence each."""
        return [
            f"{gate.name}: {gate.value:.4g}, the gate asks for {gate.threshold:.4g}"
            for gate in self.gates
            if not gate.passed
        ]


class _Candidate(Protocol):
    """What is said of a candidate in a row of the frontier."""

    @property
    def pattern(self) -> str: ...
    @property
    def capacity(self) -> float: ...
    @property
    def precision(self) -> str: ...


class FrontierEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A candidate that the search measured, or predicted."""

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
    """A candidate that travels beside the chosen one, for the device to pick from once it can measure.

    Attributes:
        entry: The file that the engine opens.
        reference: What it is verified against.
        subnetwork: What was cut.
        latency: What was predicted.
        size_mb: Its files, in MB of 10^6 bytes.
        verification: On the host.
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
        version: Of this format.
        status: Whether every gate held.
        reasons: Why not.
        created: UTC, ISO 8601, to the second.
        files: Every file but the manifest.
        entry: The file that the engine opens.
        target: The hardware profile.
        runtime: The engine.
        network: Where the subnetwork is from.
        subnetwork: What was cut.
        preprocessing: From an image to the input; mean and std are inside the graph.
        budget: What was allowed.
        latency: What was measured, or predicted.
        dense_latency: The dense network, beside it.
        memory: Peak memory.
        size_mb: All model files, in MB of 10^6 bytes.
        verification: Against the dense gallery.
        frontier: All candidates of the search.
        built: The files are what the engine runs; False where the device still has to build that from them.
        verified_by: The engine that stood in for the artifact's own, where that does not run on the host.
        alternatives: Other candidates, where the latency was not measured.
        device: Where it was measured; None where the latency is predicted.
        tools: Versions by distribution.
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
        """What is held against the budget."""
        return Figures(self.latency.upper_ms, self.size_mb, None if self.memory is None else self.memory.peak_mb)
