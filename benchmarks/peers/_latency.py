"""The latency of every file of the first seed, measured in turns."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from prunnet_export.benchmarks._methods_runs import read_run, write_run
from prunnet_export.benchmarks.peers._exported import ExportedRun, Exporter
from prunnet_export.devices import Fingerprint, measure_latency
from prunnet_export.target import Target

_LOG = logging.getLogger(__name__)
_RUNS, _SECONDS = 3, 60.0


class FileLatency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latency of one file: median, 90th percentile, coefficient of variation, number of samples."""

    method: str
    capacity: float
    precision: str
    p50_ms: float
    p90_ms: float
    cv: float
    n: int


class Latencies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latencies of all files of one seed for one target."""

    target: str
    runtime: str
    runtime_version: str
    threads: int | None
    seed: int
    device: Fingerprint
    files: list[FileLatency]

    def of(self, method: str, capacity: float, precision: str) -> FileLatency | None:
        """The latency of a file; None if there is none."""
        wanted = (method, capacity, precision)
        return next((one for one in self.files if (one.method, one.capacity, one.precision) == wanted), None)


def measured(exporter: Exporter, target: Target, runs: Sequence[ExportedRun]) -> Latencies:
    """The latencies of the files of some runs of one seed. The record of them is read, or made and stored.

    All files are measured again if the record lacks one, because only times of the same minutes can be compared.

    Raises:
        InvalidInput: a file is damaged, or a model is not there any more.
        StorageError: the folder cannot be written.
        Unreachable: the device does not answer.
    """
    record = exporter.terms.folder / f"latency-{target.name}.json"
    wanted = [(run, file) for run in runs for file in run.files if file.refused is None]
    if record.exists():
        stored = read_run(record, Latencies)
        if all(stored.of(run.method, file.capacity, file.precision) for run, file in wanted):
            return stored
    _LOG.info("%s: measuring %d files", target.name, len(wanted))
    terms = exporter.terms
    reports = measure_latency(
        terms.device,
        [exporter.model(target, run.method, run.seed, file) for run, file in wanted],
        threads=terms.threads,
        runs=_RUNS,
        samples=terms.samples,
        seconds=_SECONDS,
    )
    made = Latencies(
        target=target.name,
        runtime=reports[0].runtime,
        runtime_version=reports[0].runtime_version,
        threads=reports[0].threads,
        seed=runs[0].seed,
        device=terms.device.fingerprint(),
        files=[
            FileLatency(
                method=run.method,
                capacity=file.capacity,
                precision=file.precision,
                p50_ms=report.p50_ms,
                p90_ms=report.p90_ms,
                cv=report.cv,
                n=report.n,
            )
            for (run, file), report in zip(wanted, reports, strict=True)
        ],
    )
    write_run(record, made)
    return made
