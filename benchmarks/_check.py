"""``prunnet-bench check`` and ``latency``: artifacts are measured and verified again, and may be stored as a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, PrunnetError, Unreachable
from prunnet_export._numbers import significant
from prunnet_export._text import interval_text, shown
from prunnet_export.artifact import latency_tables, restore, utc_now
from prunnet_export.benchmarks._history import append_run, make_results_folder
from prunnet_export.benchmarks._measured import case_names, error_result, measured_result
from prunnet_export.benchmarks._remeasure import Remeasured, remeasure
from prunnet_export.benchmarks._results import Result, worst_exit_code
from prunnet_export.devices import Device, LocalDevice, find_device
from prunnet_export.reports import Check, Failure, Report, Table, print_report

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckOptions:
    """The options of ``check`` and ``latency``, as their help describes them."""

    artifacts: tuple[Path, ...]
    results: Path | None
    device: str
    threads: int | None
    output_format: str


def check_artifacts(options: CheckOptions, *, verify_too: bool) -> int:
    """Measure artifacts again, verify them if ``verify_too``, and print the report; returns the exit code.

    An error in one artifact does not end the check of the others. The exit code is that of the worst, see
    :func:`worst_exit_code`.
    """
    created, folder = utc_now(), options.results
    if folder is not None:
        make_results_folder(folder)
    machine = find_device(options.device)
    checked: list[Remeasured] = []
    failures: list[Failure] = []
    results: list[Result] = []
    silent = _silent(machine)
    for artifact, name in zip(options.artifacts, case_names(options.artifacts), strict=True):
        begin = time.monotonic()
        try:
            if silent is not None:
                raise silent
            restore(artifact)
            _LOG.info("measuring %s", shown(artifact))
            one = remeasure(
                artifact, machine, threads=options.threads, verify_too=verify_too, anchor=folder is not None
            )
        except PrunnetError as error:
            failures.append(Failure(shown(artifact), error.message, error.hint, error.exit_code))
            seconds = time.monotonic() - begin
            result = error_result(error, name=name, label=options.device, seconds=seconds, folder=artifact, home=folder)
        else:
            checked.append(one)
            seconds = time.monotonic() - begin
            result = measured_result(one, machine, name=name, label=options.device, seconds=seconds, home=folder)
        results.append(result)
    if folder is not None:
        _LOG.info("stored %s", shown(append_run(folder, results, created=created)))
    report = _report(checked, failures)
    if checked or len(failures) > 1 or options.output_format != "table":  # one error alone is shown as for any command
        print_report(report, options.output_format)
    return _exit_code(report, artifacts=len(options.artifacts))


def _silent(machine: Device) -> Unreachable | None:
    """The error of a device that does not answer. It is asked once, and not again for each artifact."""
    if not isinstance(machine, LocalDevice):
        try:
            machine.fingerprint()
        except Unreachable as error:
            return error
    return None


def _exit_code(report: Report, *, artifacts: int) -> int:
    """The exit code of a report; also prints the error line."""
    failed = [check for check in report.checks if not check.passed]
    gate = GateFailed.exit_code if failed else 0
    worst = worst_exit_code([gate, *(failure.exit_code for failure in report.failures)])
    missing = f"{len(report.failures)} of {artifacts} artifacts were not checked"
    if worst and worst == gate:
        hint = f"{len(failed)} of {len(report.checks)} checks failed; export again for this device"
        fail_line(f"{failed[0].name}: {failed[0].message}", f"{hint}; {missing}" if report.failures else hint)
    elif worst:
        failure = next(failure for failure in report.failures if failure.exit_code == worst)
        fail_line(failure.message, "; ".join(filter(None, (failure.hint, missing if artifacts > 1 else ""))))
    return worst


def _checks(measured: Remeasured) -> tuple[Check, ...]:
    """The checks of one artifact among several."""
    return tuple(replace(check, name=f"{measured.folder.name}: {check.name}") for check in measured.checks())


def _parts(results: Sequence[Remeasured]) -> list[Table]:
    """Where the time of a query goes, for each artifact that was measured end to end."""
    return [
        replace(table, title=f"{result.folder.name}: {table.title}")
        for result in results
        for table in latency_tables(result.latency)
    ]


def _report(results: Sequence[Remeasured], failures: Sequence[Failure]) -> Report:
    checks, rows = tuple(check for result in results for check in _checks(result)), []
    for result in results:
        manifest, now, then = result.manifest, result.latency, result.manifest.latency
        verification = result.verification
        rows.append(
            (
                result.folder.name,
                str(manifest.subnetwork),
                f"{now.runtime} {now.runtime_version}",
                now.scope,
                now.batch,
                now.p50_ms,
                f"p{now.percentile:g}",
                now.percentile_ms,
                f"{significant(then.percentile_ms)} ({then.source})",
                manifest.budget.latency_ms,
                now.n,
                now.images_per_second if now.batch > 1 else None,
                None if verification is None or verification.cross_r1 is None else f"{verification.cross_r1:.1%}",
                None if verification is None else interval_text(verification.cross_r1_interval),
            )
        )
    columns = (
        "artifact", "subnetwork", "runtime", "scope", "batch", "p50 ms", "asked", "ms", "ms at export", "budget ms",
        "n", "images/s", "cross R@1", "95%",
    )  # fmt: skip
    sources = " and ".join(sorted({result.latency.source for result in results}))
    return Report(
        title="prunnet-bench",
        tables=(Table(f"{sources} now", columns, tuple(rows)), *_parts(results)) if rows else (),
        checks=checks,
        document={
            "artifacts": [
                {
                    "path": str(result.folder),
                    "subnetwork": msgspec.to_builtins(result.manifest.subnetwork),
                    "budget": msgspec.to_builtins(result.manifest.budget),
                    "latency": msgspec.to_builtins(result.latency),
                    "latency_at_export": msgspec.to_builtins(result.manifest.latency),
                    "peak_mb": result.peak_mb,
                    "verification": msgspec.to_builtins(result.verification),
                }
                for result in results
            ],
            "checks": list(map(asdict, checks)),
        },
        failures=tuple(failures),
        skips=tuple(
            replace(skip, name=f"{result.folder.name}: {skip.name}") for result in results for skip in result.skips()
        ),
    )
