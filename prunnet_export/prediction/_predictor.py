"""Latencies of a device that is not here, always called what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from prunnet_export._errors import Unreachable
from prunnet_export.measuring import LatencyReport, Source
from prunnet_export.precision import Precision
from prunnet_export.prediction._fit import FEWEST_ROWS, Fit, fit, of_kind
from prunnet_export.prediction._roofline import ROOM, roofline_ms
from prunnet_export.prediction._table import Calibration, CalibrationRow, one_device
from prunnet_export.prediction._workload import Workload
from prunnet_export.target import Target

_CALIBRATED_ROOM = 1.25  # where a table has too few rows to tell its own error


@dataclass(frozen=True)
class Predictor:
    """Predicts for one target: from its calibration tables where there are any, else from its limits.

    Attributes:
        target: The hardware profile.
        tables: What was measured on such a device earlier.
    """

    target: Target
    tables: Sequence[Calibration] = ()
    _fits: dict[tuple[str, str], Fit] = field(default_factory=dict, repr=False)

    def report(
        self,
        workload: Workload,
        *,
        pattern: str,
        precision: Precision,
        percentile: float,
        estimate: tuple[float, str] | None = None,
    ) -> LatencyReport:
        """The latency of a model on the target, labelled ``calibrated`` or ``predicted``.

        Args:
            workload: Of the model.
            pattern: The shape of its zeros.
            precision: What it is executed in.
            percentile: The one that is asked for, in per cent; a prediction knows one figure for all.
            estimate: What the engine's own compiler says, milliseconds and whose word it is; it is believed first.

        Raises:
            Unreachable: nothing is known about such a device.
        """
        said = partial(_said, self.target, percentile=percentile)
        if estimate is not None:
            return said("predicted", estimate[0], estimate[0], f"estimated by {estimate[1]}")
        if self._calibrated(pattern, precision.name):
            model = self._fit(pattern, precision.name)
            p50 = model.p50_ms(workload)
            table = one_device(self.tables)[0]
            device, threads = table.device, table.threads or "the engine's own"
            known = (
                "too few to tell its error"
                if model.error is None
                else f"half of them predict the other half within {model.error:.1%} (median)"
            )
            kind = of_kind(self._rows(), pattern=pattern, precision=precision.name)
            room = _CALIBRATED_ROOM if model.worst is None else 1 + model.worst
            if percentile > 50:  # noqa: PLR2004  # the fit is of medians; the tail is the table's widest
                room *= max(row.p90_ms / row.p50_ms for row in kind)
            if not kind[0].macs <= workload.macs <= kind[-1].macs:
                room, known = max(room, ROOM), f"{known}; this network is outside what was measured"
            where = f"{device.cpu} ({device.id}), {threads} threads"
            basis = f"medians, fitted to {model.rows} rows measured on {where}; {known}"
            return said("calibrated", p50, p50 * room, basis)
        limits = self.target.limits
        if limits is None or precision.name not in limits.tera_macs:
            raise Unreachable(
                f"nothing predicts {precision.name} on {self.target.name}: no calibration table and no limits",
                hint=f"prunnet-bench calibrate --target {self.target.name} writes a table on the device",
            )
        p50 = roofline_ms(workload, limits, precision=precision)
        basis = f"roofline of {limits.source}, never measured; the bound leaves {ROOM - 1:.0%} of room"
        return said("predicted", p50, p50 * ROOM, basis)

    def _calibrated(self, pattern: str, precision: str) -> bool:
        return len(of_kind(self._rows(), pattern=pattern, precision=precision)) >= FEWEST_ROWS

    def _rows(self) -> list[CalibrationRow]:
        return [row for table in one_device(self.tables) for row in table.rows]

    def _fit(self, pattern: str, precision: str) -> Fit:
        key = pattern, precision
        if key not in self._fits:
            self._fits[key] = fit(self._rows(), pattern=pattern, precision=precision)
        return self._fits[key]


def _said(
    target: Target, source: Source, p50_ms: float, upper_ms: float, basis: str, *, percentile: float
) -> LatencyReport:
    return LatencyReport(
        source=source,
        p50_ms=p50_ms,
        p90_ms=p50_ms,
        p99_ms=p50_ms,
        mean_ms=p50_ms,
        cv=0.0,
        n=0,
        runs=0,
        percentile=percentile,
        percentile_ms=p50_ms,
        upper_ms=upper_ms,
        confidence=None,
        threads=None,
        runtime=target.runtime,
        runtime_version="",
        device="",
        basis=basis,
    )
