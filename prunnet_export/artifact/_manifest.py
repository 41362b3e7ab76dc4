"""manifest.json: everything that is known about an artifact, versioned and strict."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export.budget import Amount, Budget
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import LatencyReport, Source
from prunnet_export.preprocessing import Preprocessing

VERSION = 1
MANIFEST = "manifest.json"
_EXPORT_AGAIN = "export the artifact again"

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


class VerificationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the exported file does against the dense gallery.

    Attributes:
        gates: One by one.
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
    version: Literal[1] = 1
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


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is written: JSON, indented, a newline at the end.

    Raises:
        InvalidInput: it holds NaN or infinity, or something that reading it back would refuse.
    """
    where = _not_finite(msgspec.to_builtins(manifest), "$")
    if where is not None:
        raise InvalidInput(f"the manifest is not finite at {where}", hint="a measurement or a metric came out as NaN")
    document = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    decode_manifest(document, name=MANIFEST)
    return document


def decode_manifest(document: bytes, *, name: str) -> Manifest:
    """The manifest in a JSON document.

    Args:
        document: UTF-8.
        name: What to call it in an error.

    Raises:
        InvalidInput: it is not a manifest, or of an unknown version; the message says where.
    """
    try:
        head = msgspec.json.decode(document, type=_Head)
        if head.format != "prunnet-artifact":
            raise InvalidInput(f"{name}: its format is {head.format[:40]!r}", hint="this is no prunnet artifact")
        if head.version != VERSION:
            raise InvalidInput(
                f"{name}: version {head.version} of the format; this package reads {VERSION}",
                hint="pip install --upgrade prunnet-export" if head.version > VERSION else "export the artifact again",
            )
        manifest = msgspec.json.decode(document, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = "it may be truncated or edited; export the artifact again"
        raise InvalidInput(f"{name}: not a manifest ({str(error) or type(error).__name__})", hint=hint) from None
    _check_sense(manifest, name)
    return manifest


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prunnet-artifact manifest",
        **msgspec.json.schema(Manifest),
    }


def schema_document() -> str:
    """The JSON Schema as it is committed."""
    return msgspec.json.format(msgspec.json.encode(manifest_schema(), order="deterministic"), indent=2).decode() + "\n"


class _Head(msgspec.Struct):
    format: str
    version: int


def _check_sense(manifest: Manifest, name: str) -> None:
    """What types cannot say."""
    if manifest.files and manifest.entry not in manifest.files:
        raise InvalidInput(f"{name}: entry {manifest.entry!r} is not among files", hint=_EXPORT_AGAIN)
    for latency in (manifest.latency, *([manifest.dense_latency] if manifest.dense_latency else [])):
        if (latency.source == "measured") != (latency.n > 0 and latency.runs > 0 and latency.confidence is not None):
            raise InvalidInput(f"{name}: a {latency.source} latency of {latency.n} samples", hint=_EXPORT_AGAIN)
    named = [name for other in manifest.alternatives for name in (other.entry, other.reference)]
    missing = [name for name in named if name not in manifest.files]
    if manifest.files and missing:
        raise InvalidInput(f"{name}: alternative {missing[0]!r} is not among files", hint=_EXPORT_AGAIN)
    if MANIFEST in manifest.files:
        raise InvalidInput(f"{name}: it lists its own hash", hint="no file can hold its own hash")
    if (manifest.status == "rejected") != bool(manifest.reasons):
        count = len(manifest.reasons)
        raise InvalidInput(f"{name}: {manifest.status} with {count} reasons", hint="reasons go with rejected")
    if manifest.subnetwork.weights_kept > manifest.subnetwork.weights_total:
        raise InvalidInput(f"{name}: more weights kept than there are", hint=_EXPORT_AGAIN)


def _not_finite(value: object, where: str) -> str | None:
    """Where the first NaN or infinity is."""
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    children: list[tuple[object, str]] = []
    if isinstance(value, dict):
        children = [(child, f"{where}.{key}") for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(child, f"{where}[{index}]") for index, child in enumerate(value)]
    return next((found for child, at in children if (found := _not_finite(child, at)) is not None), None)
