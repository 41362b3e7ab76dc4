"""Latency over (pattern, capacity, precision) on one device, side by side with the dense network."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from prunnet_export._errors import Unreachable, UnsupportedPrecision
from prunnet_export.devices import Device, LocalDevice, Model, layer_times, measure_latency, placement
from prunnet_export.exporting import export_onnx
from prunnet_export.network import Normalised, PrunableNetwork, build_embedder, reestimate_batchnorm
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.prediction import DENSE, Calibration, CalibrationRow, Workload, read_workload
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.reports import Check
from prunnet_export.runtimes import Aids, Runtime
from prunnet_export.target import Target

EMBEDDING_DIM = 256
NOISE = 1.15  # a ratio of medians of the same minutes that is no gain yet
_IMAGES = 32  # for ranges of activations; what they show changes no latency


def calibrate(
    backbone: str,
    target: Target,
    runtime: Runtime,
    device: Device,
    *,
    crop: int,
    patterns: Sequence[str],
    capacities: Sequence[float],
    samples: int,
    threads: int | None,
    say: Callable[[str], None] = lambda _line: None,
) -> Calibration:
    """Measure the grid.

    The weights are random: what a runtime makes of a shape does not depend on training. All models take turns
    in the same processes, so a ratio is of the same minutes.

    Raises:
        UnknownName: no such backbone or pattern.
        InvalidInput: a capacity cannot be reached.
        Unreachable: the runtime cannot run on this machine.
    """
    local = isinstance(device, LocalDevice)
    obstacle = (target.unlike(platform.machine()) or runtime.obstacle()) if local else None
    if obstacle is not None:
        raise Unreachable(f"{runtime.name} does not run here: {obstacle}", hint="calibrate on the device itself")
    preprocessing = Preprocessing(crop=crop, resize=crop)
    torch.manual_seed(0)
    network = PrunableNetwork(build_embedder(backbone, dim=EMBEDDING_DIM, preprocessing=preprocessing), crop=crop)
    for module in network.modules():
        # timm starts the last norm of a residual block at 0. Folded, its layer would be zeros alone, which are skipped.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    grid: list[Subnetwork] = []
    for name in patterns:
        pattern = find_pattern(name)
        grid += pattern.subnetworks(network, pattern.shares(capacities), channel_multiple=target.channel_multiple)
    [dense] = find_pattern("unstructured").subnetworks(network, [1.0], channel_multiple=1)
    points = [(subnetwork, precision) for precision in target.precisions for subnetwork in (dense, *grid)]
    with TemporaryDirectory(prefix="prunnet-calibrate-") as temporary:
        builds: list[_Built] = []
        measured: list[tuple[Subnetwork, str]] = []
        refused: set[str] = set()
        for index, (subnetwork, precision) in enumerate(points):
            if precision in refused:
                continue
            say(f"building {subnetwork.pattern} {subnetwork.asked:.0%} {precision} ({index + 1} of {len(points)})")
            folder = Path(temporary) / str(index)
            folder.mkdir()
            timed = partial(layer_times, device, runtime.name, precision=precision, threads=threads)
            build = _build(
                network,
                subnetwork,
                runtime,
                folder,
                precision=precision,
                crop=crop,
                layer_times=timed,
                options=target.options,
            )
            try:
                if subnetwork is dense:  # the first of its precision: opened once, it says whether the device has it
                    placement(device, runtime.name, build.file, precision=precision)
            except UnsupportedPrecision as error:
                say(f"no {precision}: {error.message}")
                refused.add(precision)
                continue
            builds.append(build)
            measured.append((subnetwork, precision))
        say(f"measuring {len(builds)} models")
        reports = measure_latency(
            device,
            runtime.name,
            [Model(build.file, precision) for build, (_, precision) in zip(builds, measured, strict=True)],
            threads=threads,
            runs=3,
            samples=samples,
            seconds=60,
        )
    rows = [
        CalibrationRow(
            pattern=DENSE if subnetwork is dense else subnetwork.pattern,
            capacity=subnetwork.asked,
            kept=subnetwork.capacity,
            precision=precision,
            p50_ms=report.p50_ms,
            p90_ms=report.p90_ms,
            cv=report.cv,
            n=report.n,
            speedup=reports[0].p50_ms / report.p50_ms,
            size_mb=build.size_mb,
            macs=build.workload.macs,
            kept_macs=build.workload.kept_macs,
            weights=build.workload.weights,
            activations=build.workload.activations,
            layers=len(build.workload.layers),
        )
        for (subnetwork, precision), report, build in zip(measured, reports, builds, strict=True)
    ]
    return Calibration(
        backbone=backbone,
        target=target.name,
        crop_px=crop,
        channel_multiple=target.channel_multiple,
        runtime=runtime.name,
        runtime_version=reports[0].runtime_version,
        threads=threads,
        device=device.fingerprint(),
        rows=rows,
    )


@dataclass(frozen=True)
class _Built:
    file: Path
    size_mb: float
    workload: Workload


def _build(
    network: PrunableNetwork,
    subnetwork: Subnetwork,
    runtime: Runtime,
    folder: Path,
    *,
    precision: str,
    crop: int,
    layer_times: Callable[[Path], Mapping[str, float]],
    options: Mapping[str, str],
) -> _Built:
    module = materialise(network, subnetwork)
    # Random weights shrink activations towards denormal numbers, which are slow; statistics keep them normal.
    images = torch.rand(_IMAGES, 3, crop, crop, generator=torch.Generator().manual_seed(0))
    reestimate_batchnorm(module, [images[:8]])
    onnx_file = folder / "subnetwork.onnx"
    export_onnx(module, onnx_file, crop=crop)
    aids = Aids(
        images=lambda: (part.numpy() for part in torch.split(images, 8)),
        module=lambda: Normalised(module).eval(),
        layer_times=layer_times,
        options=options,
    )
    names = runtime.compile(onnx_file, folder, precision=precision, aids=aids)
    size = sum((folder / name).stat().st_size for name in names) / 1e6
    return _Built(folder / names[0], size, read_workload(onnx_file))


def capability_checks(table: Calibration, runtime: Runtime) -> tuple[Check, ...]:
    """What the runtime is said to do with each pattern, against what was measured.

    Looked at where the fewest weights are kept, in the first precision: a pattern that is used has to be faster than
    the dense network there by more than noise, one that is ignored must not be.
    """
    checks = []
    for name in dict.fromkeys(row.pattern for row in table.rows if row.pattern != DENSE):
        rows = [row for row in table.rows if row.pattern == name and row.precision == table.rows[0].precision]
        smallest = min(rows, key=lambda row: row.kept)
        sentence = runtime.ignored(name)
        gains = smallest.speedup > NOISE
        said = "is said to be used" if sentence is None else "is said to be ignored"
        message = f"{said}; {smallest.speedup:.2f}x the dense speed at {smallest.kept:.1%}"
        checks.append(Check(f"{runtime.name}, {name}", gains == (sentence is None), message))
    return tuple(checks)
