"""Calibration rows of a machine whose law is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prunnet_export.devices import Fingerprint
from prunnet_export.prediction import Calibration, CalibrationRow, Workload
from prunnet_export.prediction._workload import Layer

GIGA = 10**9


def workload(macs: int, *, kept: float = 1.0, weights: int = 10**6, layers: int = 20) -> Workload:
    """A network whose layers are all alike."""
    layer = Layer(
        macs=macs // layers,
        kept_macs=round(macs * kept) // layers,
        weights=weights // layers,
        kept_weights=round(weights * kept) // layers,
        activations=10**5,
    )
    return Workload(layers=(layer,) * layers)


def row(work: Workload, milliseconds: float, *, pattern: str = "channel", precision: str = "fp32") -> CalibrationRow:
    """What calibrating would have written."""
    return CalibrationRow(
        pattern=pattern,
        capacity=1.0,
        kept=1.0,
        precision=precision,
        p50_ms=milliseconds,
        p90_ms=milliseconds,
        cv=0.01,
        n=60,
        speedup=1.0,
        size_mb=1.0,
        macs=work.macs,
        kept_macs=work.kept_macs,
        weights=work.weights,
        activations=work.activations,
        layers=len(work.layers),
    )


def rows(law: Callable[[Workload], float], *, pattern: str = "channel") -> list[CalibrationRow]:
    """Ten sizes of network under a law."""
    works = [workload(size * GIGA // 10, weights=size * 10**5) for size in range(1, 11)]
    return [row(work, law(work), pattern=pattern) for work in works]


def table(found: Sequence[CalibrationRow], *, target: str = "x86-onnxruntime", device: str = "0" * 12) -> Calibration:
    """A table of one device."""
    return Calibration(
        backbone="resnet18",
        target=target,
        crop_px=224,
        channel_multiple=8,
        runtime="onnxruntime",
        runtime_version="1",
        threads=2,
        device=Fingerprint(id=device, cpu="A CPU", cores=2, arch="x86_64", system="Linux", python="3.11"),
        rows=list(found),
    )
