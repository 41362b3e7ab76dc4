"""Latency over (pattern, capacity, precision) on one device, side by side with the dense network."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from prunnet_export._errors import Unreachable, UnsupportedPrecision
from prunnet_export.devices import Device, LocalDevice, layer_times, measure_latency, placement
from prunnet_export.exporting import export_onnx
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import Normalised, PrunableNetwork, build_embedder, reestimate_batchnorm
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.prediction import DENSE, Calibration, CalibrationRow, Workload, read_workload
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.reports import Check
from prunnet_export.runtimes import CompileInputs, Model, find_runtime
from prunnet_export.target import Target

EMBEDDING_DIM = 256
NOISE = 1.15  # a ratio of medians of the same minutes that is no gain yet
_IMAGES = 32  # for ranges of activations; what they show changes no latency


def calibrate(
    backbone: str,
    targets: Sequence[Target],
    device: Device,
    *,
    crop: int,
    patterns: Sequence[str],
    capacities: Sequence[float],
    samples: int,
    threads: int | None,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Calibration]:
    """Measure the grid of each target.

    The weights are random: what a runtime makes of a shape does not depend on training. All models of all targets
    take turns, so a ratio is of the same minutes.

    Args:
        backbone: Name of the architecture.
        targets: What to build for.
        device: Where to measure.
        crop: Side of the input image, pixels.
        patterns: Shapes of zeros; none for each target's own, and ``unstructured``.
        capacities: Asked of each pattern.
        samples: Per model and run; there are three runs.
        threads: Intra-operator threads; None leaves it to the engine.
        say: Called with one line of progress.

    Returns:
        A table for each target, in order.

    Raises:
        UnknownName: no such backbone, pattern or runtime.
        InvalidInput: a capacity cannot be reached.
        MissingExtra: a runtime is not installed.
        Unreachable: a runtime cannot run on this machine, or the device has none of a target's precisions.
    """
    for target in targets:
        _check_runs(target, device)
    preprocessing = Preprocessing(crop=crop, resize=crop)
    torch.manual_seed(0)
    network = PrunableNetwork(build_embedder(backbone, dim=EMBEDDING_DIM, preprocessing=preprocessing), crop=crop)
    for module in network.modules():
        # timm starts the last norm of a residual block at 0. Folded, its layer would be zeros alone, which are skipped.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    grids = [_grid(network, target, patterns or _patterns_of(target), capacities) for target in targets]
    with TemporaryDirectory(prefix="prunnet-calibrate-") as temporary:
        builder = _Builder(network, device, Path(temporary), crop, threads, say, sum(map(len, grids)))
        built = [builder.build(target, grid) for target, grid in zip(targets, grids, strict=True)]
        say(f"measuring {sum(map(len, built))} models")
        reports = iter(
            measure_latency(
                device,
                [one.model for of_target in built for one in of_target],
                threads=threads,
                runs=3,
                samples=samples,
                seconds=60,
            )
        )
    return [
        _table(backbone, target, crop, device, [(one, next(reports)) for one in of_target])
        for target, of_target in zip(targets, built, strict=True)
    ]


def _check_runs(target: Target, device: Device) -> None:
    runtime = find_runtime(target.runtime)
    runtime.version()
    local = isinstance(device, LocalDevice)
    obstacle = (target.unlike(platform.machine()) or runtime.obstacle()) if local else None
    if obstacle is not None:
        raise Unreachable(f"{runtime.name} does not run here: {obstacle}", hint="calibrate on the device itself")


def _patterns_of(target: Target) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*target.patterns, "unstructured")))


def _grid(
    network: PrunableNetwork, target: Target, patterns: Sequence[str], capacities: Sequence[float]
) -> list[_Point]:
    grid = find_pattern("unstructured").subnetworks(network, [1.0], channel_multiple=1)
    for name in patterns:
        pattern = find_pattern(name)
        grid += pattern.subnetworks(network, pattern.shares(capacities), channel_multiple=target.channel_multiple)
    return [
        _Point(DENSE if index == 0 else subnetwork.pattern, subnetwork, precision)
        for precision in target.precisions
        for index, subnetwork in enumerate(grid)
    ]


@dataclass(frozen=True)
class _Point:
    pattern: str
    subnetwork: Subnetwork
    precision: str


@dataclass(frozen=True)
class _Exported:
    module: torch.nn.Module
    file: Path
    workload: Workload


@dataclass(frozen=True)
class _Built:
    point: _Point
    model: Model
    size_mb: float
    workload: Workload


@dataclass
class _Builder:
    """Builds the points of all targets, and counts them."""

    network: PrunableNetwork
    device: Device
    folder: Path
    crop: int
    threads: int | None
    say: Callable[[str], None]
    points: int
    begun: int = 0
    exported: dict[tuple[str, float, int], _Exported] = field(default_factory=dict)

    def build(self, target: Target, grid: Sequence[_Point]) -> list[_Built]:
        """Models of one target; a precision that the device lacks is left out, and said."""
        builds: list[_Built] = []
        refused: set[str] = set()
        for point in grid:
            self.begun += 1
            if point.precision in refused:
                continue
            what = f"{target.name} {point.pattern} {point.subnetwork.asked:.0%} {point.precision}"
            self.say(f"building {what} ({self.begun} of {self.points})")
            one = self._compile(target, point)
            try:
                if point.pattern == DENSE:  # the first of its precision: opened once, it says whether the device has it
                    placement(self.device, one.model)
            except UnsupportedPrecision as error:
                self.say(f"no {point.precision}: {error.message}")
                refused.add(point.precision)
                continue
            builds.append(one)
        if not builds:
            raise Unreachable(f"none of {target.name}'s precisions runs there", hint="calibrate on the device itself")
        return builds

    def _compile(self, target: Target, point: _Point) -> _Built:
        runtime, source = find_runtime(target.runtime), self._export(target, point)
        folder = self.folder / str(self.begun)
        folder.mkdir()
        inputs = CompileInputs(
            images=lambda: (part.numpy() for part in torch.split(_images(self.crop), 8)),
            module=lambda: Normalised(source.module).eval(),
            layer_times=lambda file: layer_times(
                self.device, Model(file, runtime.name, point.precision), threads=self.threads
            ),
            options=target.options,
        )
        names = runtime.compile(source.file, folder, precision=point.precision, inputs=inputs)
        size = sum((folder / name).stat().st_size for name in names) / 1e6
        model = Model(folder / names[0], runtime.name, point.precision)
        return _Built(point, model, size, source.workload)

    def _export(self, target: Target, point: _Point) -> _Exported:
        """The ONNX file of a subnetwork, once for all precisions and for all targets with channels of one multiple."""
        key = (point.pattern, point.subnetwork.asked, target.channel_multiple)
        if key not in self.exported:
            module = materialise(self.network, point.subnetwork)
            # Random weights shrink activations towards denormal numbers, which are slow; statistics keep them normal.
            reestimate_batchnorm(module, [_images(self.crop)[:8]])
            file = self.folder / f"{len(self.exported)}.onnx"
            export_onnx(module, file, crop=self.crop)
            self.exported[key] = _Exported(module, file, read_workload(file))
        return self.exported[key]


def _images(crop: int) -> torch.Tensor:
    return torch.rand(_IMAGES, 3, crop, crop, generator=torch.Generator().manual_seed(0))


def _table(
    backbone: str, target: Target, crop: int, device: Device, measured: Sequence[tuple[_Built, LatencyReport]]
) -> Calibration:
    first = measured[0][1]
    rows = [
        CalibrationRow(
            pattern=one.point.pattern,
            capacity=one.point.subnetwork.asked,
            kept=one.point.subnetwork.capacity,
            precision=one.point.precision,
            p50_ms=report.p50_ms,
            p90_ms=report.p90_ms,
            cv=report.cv,
            n=report.n,
            speedup=first.p50_ms / report.p50_ms,
            size_mb=one.size_mb,
            macs=one.workload.macs,
            kept_macs=one.workload.kept_macs,
            weights=one.workload.weights,
            activations=one.workload.activations,
            layers=len(one.workload.layers),
        )
        for one, report in measured
    ]
    return Calibration(
        backbone=backbone,
        target=target.name,
        crop_px=crop,
        channel_multiple=target.channel_multiple,
        runtime=first.runtime,
        runtime_version=first.runtime_version,
        threads=first.threads,
        device=device.fingerprint(),
        rows=rows,
    )


def capability_checks(table: Calibration) -> tuple[Check, ...]:
    """What the runtime is said to do with each pattern, against what was measured.

    Looked at where the fewest weights are kept, in the first precision: a pattern that is used has to be faster than
    the dense network there by more than noise, one that is ignored must not be.
    """
    runtime = find_runtime(table.runtime)
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
