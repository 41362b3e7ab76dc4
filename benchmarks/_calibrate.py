"""Measuring the latency of every (pattern, capacity, precision) on one device, together with the dense network."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from prunnet_export._errors import Unreachable, UnsupportedPrecision
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.benchmarks._options import CalibrateOptions
from prunnet_export.building import Build, BuildCache, Builder, Candidate
from prunnet_export.devices import Device, LocalDevice, layer_times, measure_latency, placement
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import PrunableNetwork, build_embedder, limit_torch_threads, reestimate_batchnorm
from prunnet_export.patterns import Subnetwork, find_pattern
from prunnet_export.prediction import DENSE, Calibration, CalibrationRow
from prunnet_export.preprocessing import Preprocessing, Size
from prunnet_export.reports import Check
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import Target

EMBEDDING_DIM = 256
NOISE = 1.15  # a speedup up to this ratio can be noise
_LOG = logging.getLogger(__name__)


def calibrate(options: CalibrateOptions, targets: Sequence[Target], device: Device) -> list[Calibration]:
    """Measure the grid of each target; returns one table for each.

    The weights are random, because the latency of a shape does not depend on training. All models of all targets are
    measured in turns, so that the conditions are equal.

    Raises:
        UnknownName: no such backbone, pattern or runtime.
        InvalidInput: a capacity cannot be reached.
        MissingExtra: a runtime is not installed.
        Unreachable: a runtime cannot run on this machine, or the device is emulated or supports no precision of a
            target.
    """
    limit_torch_threads()
    for target in targets:
        runtime = find_runtime(target.runtime)
        runtime.version()
        if isinstance(device, LocalDevice) and (obstacle := target.unlike(platform.machine()) or runtime.obstacle()):
            raise Unreachable(f"{runtime.name} does not run here: {obstacle}", hint="calibrate on the device itself")
    device.fingerprint().require_real()
    network, threads = _network(options.backbone, options.crop_px), options.threads
    grids = [_subnetworks(network, target, options) for target in targets]
    with TemporaryFolder("calibrate") as temporary:
        cache = BuildCache(Path(temporary))
        built = [
            _build(network, target, grid, cache=cache, device=device, threads=threads)
            for target, grid in zip(targets, grids, strict=True)
        ]
        models = [build.model for builds in built for build in builds]
        _LOG.info("measuring %d models", len(models))
        reports = iter(measure_latency(device, models, threads=threads, runs=3, samples=options.samples, seconds=60))
        return [
            _table(options, target, device, [(build, next(reports)) for build in builds])
            for target, builds in zip(targets, built, strict=True)
        ]


def _network(backbone: str, crop: Size) -> PrunableNetwork:
    """A network with random weights and the BatchNorm statistics of random images.

    Without these statistics the activations would shrink to denormal numbers, which are slow to compute with.
    """
    torch.manual_seed(0)
    preprocessing = Preprocessing(crop=crop, resize=crop)
    embedder = build_embedder(backbone, dim=EMBEDDING_DIM, preprocessing=preprocessing)
    for module in embedder.modules():
        # timm initialises the last norm of a residual block with 0. Folded into a layer, it would make all weights 0,
        # and runtimes skip zeros.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network = PrunableNetwork(embedder, size=preprocessing.size)
    reestimate_batchnorm(embedder, _images(network.size)[:1])
    return network


def _images(size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Batches of random images; the latency does not depend on their content."""
    return torch.split(torch.rand(32, 3, *size, generator=torch.Generator().manual_seed(0)), 8)


def _subnetworks(network: PrunableNetwork, target: Target, options: CalibrateOptions) -> list[Subnetwork]:
    """The subnetworks to measure for a target, the dense network first."""
    found = find_pattern("unstructured").subnetworks(network, [1.0])
    for name in options.patterns or dict.fromkeys((*target.patterns, "unstructured")):
        pattern = find_pattern(name, target.channel_multiple)
        found += pattern.subnetworks(network, pattern.shares(options.capacities))
    return found


def _build(
    network: PrunableNetwork,
    target: Target,
    grid: Sequence[Subnetwork],
    *,
    cache: BuildCache,
    device: Device,
    threads: int | None,
) -> list[Build]:
    """Build the grid in each precision. A precision that the device does not support is left out, and logged."""
    builder = Builder(
        network,
        find_runtime(target.runtime),
        cache,
        device=device.fingerprint().id,
        settle=lambda module: reestimate_batchnorm(module, _images(network.size)[:1]),
        calibration=lambda: _images(network.size),
        options=target.options,
        layer_times=lambda model: layer_times(device, model, threads=threads),
    )
    builds: list[Build] = []
    for precision in target.precisions:
        for index, subnetwork in enumerate(grid):
            candidate = Candidate(subnetwork, precision)
            _LOG.info("building %s for %s (%d of %d)", candidate, target.name, index + 1, len(grid))
            build = builder.build(candidate, re_estimated=True)
            try:
                if index == 0:  # raises UnsupportedPrecision if the device does not support the precision
                    placement(device, build.model)
            except UnsupportedPrecision as error:
                _LOG.info("no %s: %s", precision, error.message)
                break
            builds.append(build)
    if not builds:
        raise Unreachable(f"none of {target.name}'s precisions runs there", hint="calibrate on the device itself")
    return builds


def _table(
    options: CalibrateOptions, target: Target, device: Device, measured: Sequence[tuple[Build, LatencyReport]]
) -> Calibration:
    dense, first = measured[0]
    rows = [
        CalibrationRow(
            pattern=DENSE if build.candidate.subnetwork is dense.candidate.subnetwork else build.candidate.pattern,
            capacity=build.candidate.subnetwork.asked,
            kept=build.candidate.capacity,
            precision=build.candidate.precision,
            p50_ms=report.p50_ms,
            p90_ms=report.p90_ms,
            cv=report.cv,
            n=report.n,
            speedup=first.p50_ms / report.p50_ms,
            size_mb=build.size_mb,
            macs=build.workload.macs,
            kept_macs=build.workload.kept_macs,
            weights=build.workload.weights,
            activations=build.workload.activations,
            layers=len(build.workload.layers),
        )
        for build, report in measured
    ]
    return Calibration(
        backbone=options.backbone,
        target=target.name,
        crop_px=options.crop_px,
        channel_multiple=target.channel_multiple,
        runtime=first.runtime,
        runtime_version=first.runtime_version,
        threads=first.threads,
        device=device.fingerprint(),
        rows=rows,
    )


def capability_checks(table: Calibration) -> tuple[Check, ...]:
    """Compare what the runtime declares about each pattern with the measurement.

    The check uses the smallest subnetwork in the first precision. A pattern that the runtime uses must be faster than
    the dense network by more than noise; one that it ignores must not be.
    """
    runtime = find_runtime(table.runtime)
    checks = []
    for name in dict.fromkeys(row.pattern for row in table.rows if row.pattern != DENSE):
        rows = [row for row in table.rows if row.pattern == name and row.precision == table.rows[0].precision]
        smallest = min(rows, key=lambda row: row.kept)
        ignored = runtime.ignored(name) is not None
        declared = "ignored" if ignored else "used"
        message = f"declared as {declared}; {smallest.speedup:.2f}x the dense speed at {smallest.kept:.1%}"
        checks.append(Check(f"{runtime.name}, {name}", (smallest.speedup > NOISE) != ignored, message))
    return tuple(checks)
