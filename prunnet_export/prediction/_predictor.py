"""Predicted latencies of a device that is not at hand. Each is labelled with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunnet_export._errors import Unreachable
from prunnet_export.measuring import LatencyReport, Source
from prunnet_export.precision import Precision
from prunnet_export.prediction._fit import MIN_ROWS, Fit, fit, select_rows
from prunnet_export.prediction._roofline import SAFETY_FACTOR, roofline_ms
from prunnet_export.prediction._table import Calibration, CalibrationRow, tables_of_one_device
from prunnet_export.prediction._workload import Workload
from prunnet_export.target import Target

_CALIBRATED_FACTOR = 1.25  # upper bound over median, if a table has too few rows to estimate its error


@dataclass(frozen=True)
class Predictor:
    """Predicts latencies on one target from its calibration tables, or from its limits if there are no tables.

    Attributes:
        target: The hardware profile.
        tables: Calibration tables that were measured on such a device.
    """

    target: Target
    tables: Sequence[Calibration] = ()

    def report(
        self,
        workload: Workload,
        *,
        pattern: str,
        precision: Precision,
        percentile: float,
        batch_size: int = 1,
        estimate: tuple[float, str] | None = None,
    ) -> LatencyReport:
        """The latency of a model on the target, labelled ``calibrated`` or ``predicted``.

        Args:
            workload: Workload of the model for one image.
            pattern: The shape of its zeros.
            precision: The precision that it is executed in.
            percentile: Percentile to report, in per cent. A prediction has the same value for all percentiles.
            batch_size: Images per inference. Calibration tables are of one image, so a larger batch is predicted from
                the target's limits.
            estimate: Estimate of the engine's compiler: milliseconds, and its source. If given, it is used.

        Raises:
            Unreachable: there are no figures to predict from.
        """
        tables = tables_of_one_device(self.tables) if batch_size == 1 else []
        rows = [row for table in tables for row in table.rows]
        rows = select_rows(rows, pattern=pattern, precision=precision.name)
        source: Source = "predicted"
        if estimate is not None:
            p50, upper, basis = estimate[0], estimate[0], f"estimated by {estimate[1]}"
        elif len(rows) >= MIN_ROWS:
            source = "calibrated"
            model = fit(rows, pattern=pattern, precision=precision.name)
            p50, upper, basis = self._calibrated(workload, model, rows, percentile)
        else:
            p50, upper, basis = self._roofline(workload.of_batch(batch_size), precision, batch_size)
        return LatencyReport(
            source=source,
            p50_ms=p50,
            p90_ms=p50,
            p99_ms=p50,
            mean_ms=p50,
            cv=0.0,
            n=0,
            runs=0,
            percentile=percentile,
            percentile_ms=p50,
            upper_ms=upper,
            confidence=None,
            threads=None,
            runtime=self.target.runtime,
            runtime_version="",
            device="",
            basis=basis,
            batch=batch_size,
        )

    def _calibrated(
        self, workload: Workload, model: Fit, rows: Sequence[CalibrationRow], percentile: float
    ) -> tuple[float, float, str]:
        """The median, its upper bound, and their basis, from a fit of the rows."""
        table = tables_of_one_device(self.tables)[0]
        accuracy, factor = "too few to tell its error", _CALIBRATED_FACTOR
        if model.error is not None and model.worst is not None:
            accuracy, factor = f"half of them predict the other half within {model.error:.1%} (median)", 1 + model.worst
        if percentile > 50:  # noqa: PLR2004  # the fit predicts medians, so the table's largest p90 / p50 is added
            factor *= max(row.p90_ms / row.p50_ms for row in rows)
        if not rows[0].macs <= workload.macs <= rows[-1].macs:
            factor, accuracy = max(factor, SAFETY_FACTOR), f"{accuracy}; this network is outside what was measured"
        threads = table.threads or "the engine's own"
        machine = f"{table.device.cpu} ({table.device.id}), {threads} threads"
        p50 = model.p50_ms(workload)
        return p50, p50 * factor, f"medians, fitted to {model.rows} rows measured on {machine}; {accuracy}"

    def _roofline(self, workload: Workload, precision: Precision, batch_size: int) -> tuple[float, float, str]:
        """The median, its upper bound, and their basis, from a data sheet."""
        limits = self.target.limits
        if limits is None or precision.name not in limits.tera_macs:
            if batch_size > 1:
                raise Unreachable(
                    f"nothing predicts batches of {batch_size} in {precision.name} on {self.target.name}:"
                    " it has no limits, and calibration tables are of one image",
                    hint="give the device, --device ssh://user@host, or leave out --batch-size",
                )
            raise Unreachable(
                f"nothing predicts {precision.name} on {self.target.name}: no calibration table and no limits",
                hint=f"prunnet-bench calibrate --target {self.target.name} writes a table on the device",
            )
        p50 = roofline_ms(workload, limits, precision=precision)
        basis = f"roofline of {limits.source}, never measured; the bound leaves {SAFETY_FACTOR - 1:.0%} of room"
        if batch_size > 1:
            basis += "; each image of the batch counts as one alone, and the weights are read once"
        return p50, p50 * SAFETY_FACTOR, basis
