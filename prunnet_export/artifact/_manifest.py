"""The types of manifest.json: everything that is known about an artifact. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import msgspec

from prunnet_export.artifact._fields import Capacity, Count, Positive
from prunnet_export.artifact._golden import GoldenEntry
from prunnet_export.artifact._input_steps import InputSteps
from prunnet_export.artifact._verification import VerificationEntry
from prunnet_export.budget import Amount, Budget, Figures
from prunnet_export.devices import Fingerprint
from prunnet_export.file_names import FileName, Sha256
from prunnet_export.measuring import LatencyReport, Source
from prunnet_export.network_config import TeacherEntry
from prunnet_export.preprocessing import Preprocessing

VERSION = 3
MANIFEST = "manifest.json"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the artifact: its SHA-256 and its length."""

    sha256: Sha256
    bytes: Count


class RuntimeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine: its name and its version."""

    name: str
    version: str


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prunable network of the subnetwork.

    Attributes:
        name: Name of its folder.
        sha256: SHA-256 of its weights.
        backbone: Its architecture.
        embedding_dim: Length of an embedding.
        teacher: The model whose gallery it answers; null if that is its own dense network.
    """

    name: str
    sha256: Sha256
    backbone: str
    embedding_dim: Positive
    teacher: TeacherEntry | None = None


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
        float_layers: Layers that stay in float in INT8, because they lose too much there.
        smallest_trained: The smallest capacity of the pattern that the training had; null if it is not known.
    """

    pattern: str
    capacity: Capacity
    capacity_asked: Capacity
    precision: str
    channel_multiple: Positive
    weights_kept: Count
    weights_total: Count
    widths: dict[str, Positive] | None = None
    float_layers: list[str] = []
    smallest_trained: Capacity | None = None

    def __str__(self) -> str:
        return f"{self.pattern} {self.capacity:.1%} {self.precision}"


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Peak resident memory above the engine alone, in MiB, and the source of that figure."""

    peak_mb: Annotated[float, msgspec.Meta(ge=0)]
    source: str


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
        verification: Verification against the teacher's gallery.
        frontier: All candidates that the search measured or predicted.
        built: Whether the engine can run the files; if not, the device still has to build the engine from them.
        verified_by: The engine of the verification, if the artifact's own engine does not run on the host; else null.
        alternatives: Other candidates; only if the latency was predicted.
        device: The device that measured; null if the latency is predicted.
        tools: Versions of the installed distributions.
        input_steps: How an image becomes an input, in numbers; null in older artifacts.
        golden: An image and its vector, to test the code of a device with; null in older artifacts, and if the vector
            is not finite.
    """

    format: Literal["prunnet-artifact"] = "prunnet-artifact"
    version: Literal[3] = 3
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
    input_steps: InputSteps | None = None
    golden: GoldenEntry | None = None

    @property
    def figures(self) -> Figures:
        """The figures that the budget limits."""
        return Figures(self.latency.limited_ms, self.size_mb, None if self.memory is None else self.memory.peak_mb)
