"""The manifest of an export, made from all its results."""

from __future__ import annotations

from collections.abc import Sequence

from prunnet_export._imports import installed_versions
from prunnet_export.artifact import (
    AlternativeEntry,
    FrontierEntry,
    GoldenEntry,
    InputSteps,
    Manifest,
    NetworkEntry,
    RuntimeEntry,
    SubnetworkEntry,
    utc_now,
)
from prunnet_export.budget import Budget
from prunnet_export.building import Build
from prunnet_export.devices import Fingerprint
from prunnet_export.network_config import NetworkConfig
from prunnet_export.runtimes import Runtime
from prunnet_export.search._outcome import Attempt
from prunnet_export.target import Target

TOOLS = ("prunnet-export", "torch", "timm", "torch-pruning", "onnx", "onnxscript", "numpy", "pillow")


def compose_manifest(
    attempt: Attempt,
    *,
    target: Target,
    runtime: Runtime,
    config: NetworkConfig,
    network_name: str,
    channel_multiple: int,
    budget: Budget,
    verified_by: RuntimeEntry | None,
    frontier: Sequence[FrontierEntry],
    alternatives: Sequence[AlternativeEntry],
    device: Fingerprint | None,
    golden: GoldenEntry | None,
) -> Manifest:
    """The manifest of an attempt, rejected if the attempt has reasons. The writer adds the files.

    Raises:
        ValueError: the attempt was not verified.
    """
    if attempt.verification is None:
        raise ValueError("an attempt that was not verified has no manifest")
    build, latency = attempt.build, attempt.latency
    return Manifest(
        status="rejected" if attempt.reasons else "verified",
        reasons=list(attempt.reasons),
        created=utc_now(),
        entry=build.names[0],
        target=target.name,
        runtime=RuntimeEntry(name=runtime.name, version=latency.runtime_version or runtime.version()),
        network=NetworkEntry(
            name=network_name,
            sha256=config.weights_sha256,
            backbone=config.backbone,
            embedding_dim=config.embedding_dim,
            teacher=config.teacher,
        ),
        subnetwork=subnetwork_entry(build, config, channel_multiple=channel_multiple),
        preprocessing=config.preprocessing,
        budget=budget,
        latency=latency,
        dense_latency=attempt.dense,
        memory=attempt.memory,
        size_mb=build.size_mb,
        verification=attempt.verification,
        frontier=list(frontier),
        built=runtime.built(build.model),
        verified_by=verified_by,
        alternatives=list(alternatives),
        device=device,
        tools=installed_versions(*TOOLS, *runtime.distributions),
        input_steps=InputSteps(),
        golden=golden,
    )


def subnetwork_entry(build: Build, config: NetworkConfig, *, channel_multiple: int) -> SubnetworkEntry:
    """The manifest's entry of a compiled candidate of the network with this configuration."""
    candidate, subnetwork = build.candidate, build.candidate.subnetwork
    return SubnetworkEntry(
        pattern=subnetwork.pattern,
        capacity=subnetwork.capacity,
        capacity_asked=subnetwork.asked,
        precision=candidate.precision,
        channel_multiple=channel_multiple,
        weights_kept=subnetwork.kept,
        weights_total=subnetwork.total,
        widths=subnetwork.widths(),
        float_layers=list(build.float_layers.kept),
        smallest_trained=config.smallest_trained(subnetwork.pattern),
    )
