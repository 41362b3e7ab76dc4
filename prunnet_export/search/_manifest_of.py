"""The manifest of a build: everything that the export found out about it, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from prunnet_export._imports import installed_version
from prunnet_export.artifact import (
    AlternativeEntry,
    FrontierEntry,
    Manifest,
    MemoryEntry,
    NetworkEntry,
    RuntimeEntry,
    SubnetworkEntry,
    VerificationEntry,
)
from prunnet_export.budget import Budget
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import NetworkConfig
from prunnet_export.runtimes import Model, Runtime
from prunnet_export.search._builder import Build
from prunnet_export.search._candidates import Candidate
from prunnet_export.target import Target

TOOLS = ("prunnet-export", "torch", "timm", "torch-pruning", "onnx", "onnxscript", "numpy", "pillow")


def compose_manifest(
    build: Build,
    *,
    reasons: Sequence[str],
    target: Target,
    runtime: Runtime,
    config: NetworkConfig,
    network_name: str,
    channel_multiple: int,
    budget: Budget,
    latency: LatencyReport,
    dense_latency: LatencyReport,
    memory: MemoryEntry | None,
    verification: VerificationEntry,
    verified_by: RuntimeEntry | None,
    frontier: Sequence[FrontierEntry],
    alternatives: Sequence[AlternativeEntry],
    device: Fingerprint | None,
) -> Manifest:
    """The manifest of a build, rejected where there are reasons; the writer fills in the files."""
    return Manifest(
        status="rejected" if reasons else "verified",
        reasons=list(reasons),
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        entry=build.names[0],
        target=target.name,
        runtime=RuntimeEntry(name=runtime.name, version=latency.runtime_version or runtime.version()),
        network=NetworkEntry(
            name=network_name,
            sha256=config.weights_sha256,
            backbone=config.backbone,
            embedding_dim=config.embedding_dim,
        ),
        subnetwork=subnetwork_entry(build.candidate, channel_multiple=channel_multiple),
        preprocessing=config.preprocessing,
        budget=budget,
        latency=latency,
        dense_latency=dense_latency,
        memory=memory,
        size_mb=build.size_mb,
        verification=verification,
        frontier=list(frontier),
        built=runtime.built(Model(build.entry, runtime.name, build.candidate.precision)),
        verified_by=verified_by,
        alternatives=list(alternatives),
        device=device,
        tools={
            tool: version
            for tool in (*TOOLS, *runtime.distributions)
            if (version := installed_version(tool)) is not None
        },
    )


def subnetwork_entry(candidate: Candidate, *, channel_multiple: int) -> SubnetworkEntry:
    """What a manifest says of a candidate."""
    subnetwork = candidate.subnetwork
    return SubnetworkEntry(
        pattern=subnetwork.pattern,
        capacity=subnetwork.capacity,
        capacity_asked=subnetwork.asked,
        precision=candidate.precision,
        channel_multiple=channel_multiple,
        weights_kept=subnetwork.kept,
        weights_total=subnetwork.total,
        widths=subnetwork.widths(),
    )
