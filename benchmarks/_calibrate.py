"""Latency over (pattern, capacity, precision) on one device, side by side with the dense network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch

from prunnet_export.devices import Device, Fingerprint, measure_latency
from prunnet_export.exporting import export_onnx
from prunnet_export.measuring import LatencyReport
from prunnet_export.network import PrunableNetwork, build_embedder, reestimate_batchnorm
from prunnet_export.patterns import Subnetwork, find_pattern, materialise
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import Runtime
from prunnet_export.target import Target

EMBEDDING_DIM = 256
DENSE = "dense"


class CalibrationRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of the grid.

    Attributes:
        pattern: The shape of its zeros; ``dense`` for the network itself.
        capacity: What was asked for.
        kept: Fraction of the prunable weights that is kept.
        precision: What the runtime executed in.
        p50_ms: Median.
        p90_ms: 90th percentile.
        cv: Coefficient of variation.
        n: Samples.
        speedup: Median of the dense network in fp32, over this one's, of the same run.
        size_mb: Model files, 10^6 bytes.
    """

    pattern: str
    capacity: float
    kept: float
    precision: str
    p50_ms: float
    p90_ms: float
    cv: float
    n: int
    speedup: float
    size_mb: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of one backbone on one target and device."""

    backbone: str
    target: str
    crop_px: int
    channel_multiple: int
    runtime: str
    runtime_version: str
    threads: int | None
    device: Fingerprint
    rows: list[CalibrationRow]
    source: str = "measured"
    format: str = "prunnet-calibration"
    version: int = 1


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
    """
    preprocessing = Preprocessing(crop=crop, resize=crop)
    torch.manual_seed(0)
    network = PrunableNetwork(build_embedder(backbone, dim=EMBEDDING_DIM, preprocessing=preprocessing), crop=crop)
    grid: list[Subnetwork] = []
    for name in patterns:
        pattern = find_pattern(name)
        grid += pattern.subnetworks(network, pattern.shares(capacities), channel_multiple=target.channel_multiple)
    [dense] = find_pattern("unstructured").subnetworks(network, [1.0], channel_multiple=1)
    points = [(subnetwork, precision) for precision in target.precisions for subnetwork in (dense, *grid)]
    with TemporaryDirectory(prefix="prunnet-calibrate-") as temporary:
        entries, sizes = [], []
        for index, (subnetwork, precision) in enumerate(points):
            say(f"building {subnetwork.pattern} {subnetwork.asked:.0%} {precision} ({index + 1} of {len(points)})")
            folder = Path(temporary) / str(index)
            folder.mkdir()
            names = _build(network, subnetwork, runtime, folder, precision=precision, crop=crop)
            entries.append(folder / names[0])
            sizes.append(sum((folder / name).stat().st_size for name in names) / 1e6)
        reports: list[LatencyReport] = []
        for precision in target.precisions:
            say(f"measuring {precision}")
            chosen = [entry for entry, point in zip(entries, points, strict=True) if point[1] == precision]
            reports += measure_latency(
                device,
                runtime.name,
                chosen,
                precision=precision,
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
            size_mb=size,
        )
        for (subnetwork, precision), report, size in zip(points, reports, sizes, strict=True)
    ]
    return Calibration(
        backbone=backbone,
        target=target.name,
        crop_px=crop,
        channel_multiple=target.channel_multiple,
        runtime=runtime.name,
        runtime_version=runtime.version(),
        threads=threads,
        device=device.fingerprint(),
        rows=rows,
    )


def _build(
    network: PrunableNetwork, subnetwork: Subnetwork, runtime: Runtime, folder: Path, *, precision: str, crop: int
) -> tuple[str, ...]:
    module = materialise(network, subnetwork)
    # Random weights shrink activations towards denormal numbers, which are slow; statistics keep them normal.
    generator = torch.Generator().manual_seed(0)
    reestimate_batchnorm(module, [torch.rand(8, 3, crop, crop, generator=generator)])
    onnx_file = folder / "subnetwork.onnx"
    export_onnx(module, onnx_file, crop=crop)
    names = runtime.compile(onnx_file, folder, precision=precision)
    if onnx_file.name not in names:
        onnx_file.unlink()
    return names
