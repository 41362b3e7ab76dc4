"""Measuring and verifying an artifact again, with only the files in its folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, PrunnetError, Unreachable, UsageError
from prunnet_export._numbers import significant
from prunnet_export._text import interval_text, shown
from prunnet_export.artifact import (
    HeldArtifact,
    Manifest,
    VerificationEntry,
    budget_checks,
    chosen_model_files,
    gate_check,
    held,
    restore,
)
from prunnet_export.budget import Figures
from prunnet_export.devices import Device, LocalDevice, find_device, peak_memory_mb
from prunnet_export.evaluating import ModelOnDevice, artifact_reference, measure_for_budget, verify_again
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Check, Failure, Report, Table, print_report
from prunnet_export.runtimes import Model, find_runtime

_WORST_FIRST = (PrunnetError.exit_code, UsageError.exit_code, Unreachable.exit_code, GateFailed.exit_code)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remeasured:
    """An artifact, measured and verified again.

    Attributes:
        folder: The artifact.
        manifest: The manifest of the artifact.
        latency: The new latency, on this device.
        peak_mb: The new peak memory, MiB; None if it was not measured.
        verification: The new verification; None if there was none.
    """

    folder: Path
    manifest: Manifest
    latency: LatencyReport
    peak_mb: float | None
    verification: VerificationEntry | None

    def checks(self) -> tuple[Check, ...]:
        """The checks of the budget, by the same rule as in the export, and of the gates."""
        figures = Figures(self.latency.upper_ms, self.manifest.size_mb, self.peak_mb)
        gates = self.verification.gates if self.verification else []
        checks = [*budget_checks(self.manifest.budget, self.latency, figures), *map(gate_check, gates)]
        return tuple(replace(check, name=f"{self.folder.name}: {check.name}") for check in checks)


@dataclass(frozen=True)
class CheckOptions:
    """The options of ``check`` and ``latency``, as their help describes them."""

    artifacts: tuple[Path, ...]
    device: str
    threads: int | None
    output_format: str


def check_artifacts(options: CheckOptions, *, verify_too: bool) -> int:
    """Measure artifacts again, verify them if ``verify_too``, and print the report; returns the exit code.

    An error in one artifact does not end the check of the others. The exit code is that of the worst: 2 before 3,
    because waiting does not mend it, and both before 1, because a check is missing.
    """
    machine = find_device(options.device)
    results: list[Remeasured] = []
    failures: list[Failure] = []
    silent = _silent(machine)
    for folder in options.artifacts:
        try:
            if silent is not None:
                raise silent
            restore(folder)
            _LOG.info("measuring %s", shown(folder))
            results.append(remeasure(folder, machine, threads=options.threads, verify_too=verify_too))
        except PrunnetError as error:  # noqa: PERF203  # there are few
            failures.append(Failure(shown(folder), error.message, error.hint, error.exit_code))
    report = _report(results, failures)
    if results or len(failures) > 1 or options.output_format != "table":  # one error alone is shown as for any command
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
    if report.failures:
        worst = min(report.failures, key=lambda failure: _WORST_FIRST.index(failure.exit_code))
        count = f"{len(report.failures)} of {artifacts} artifacts were not checked" if artifacts > 1 else ""
        fail_line(worst.message, "; ".join(filter(None, (worst.hint, count))))
        return worst.exit_code
    failed = [check for check in report.checks if not check.passed]
    if failed:
        fail_line(
            f"{failed[0].name}: {failed[0].message}",
            f"{len(failed)} of {len(report.checks)} checks failed; export again on this device",
        )
        return GateFailed.exit_code
    return 0


def remeasure(folder: Path, device: Device, *, threads: int | None, verify_too: bool) -> Remeasured:
    """Measure one artifact again, and verify it if ``verify_too``. It may be replaced meanwhile.

    Raises:
        InvalidInput: the folder holds no artifact, or a file is not the one that its manifest describes.
        MissingExtra: the artifact's runtime is not installed.
        Unreachable: the artifact's runtime cannot run on this machine.
    """
    with held(folder) as kept:
        result = _remeasure(kept, device, threads=threads, verify_too=verify_too)
        if kept.replaced():
            _LOG.warning("%s was replaced meanwhile: the figures are of the artifact that was there before", folder)
        return result


def _remeasure(kept: HeldArtifact, device: Device, *, threads: int | None, verify_too: bool) -> Remeasured:
    folder, manifest = kept.origin, kept.manifest
    runtime, entry = find_runtime(manifest.runtime.name), kept.folder / manifest.entry
    obstacle = runtime.obstacle() if isinstance(device, LocalDevice) else None
    if obstacle is not None:
        raise Unreachable(
            f"{runtime.name} does not run here: {obstacle}", hint="on the device: prunnet-export finish ARTIFACT"
        )
    threads = threads if threads is not None else manifest.latency.threads
    files = tuple(kept.folder / name for name in chosen_model_files(manifest))
    model = Model(entry, runtime.name, manifest.subnetwork.precision, files)
    latency = measure_for_budget(device, model, manifest.budget, threads=threads, runs=3)
    if not verify_too:
        return Remeasured(folder, manifest, latency, None, None)
    # Before an engine is built, the figure would include the memory of the build.
    peak = peak_memory_mb(device, model, threads=threads).peak_mb if runtime.built(model) else None
    tested = ModelOnDevice(model, device, threads)
    reference = artifact_reference(kept.folder, manifest)
    verification = verify_again(tested, manifest, reference, manifest.verification)
    return Remeasured(folder, manifest, latency, peak, verification)


def _report(results: Sequence[Remeasured], failures: Sequence[Failure]) -> Report:
    checks, rows = tuple(check for result in results for check in result.checks()), []
    for result in results:
        manifest, now, then = result.manifest, result.latency, result.manifest.latency
        verification = result.verification
        rows.append(
            (
                result.folder.name,
                str(manifest.subnetwork),
                f"{now.runtime} {now.runtime_version}",
                now.p50_ms,
                f"p{now.percentile:g}",
                now.percentile_ms,
                f"{significant(then.percentile_ms)} ({then.source})",
                manifest.budget.latency_ms,
                now.n,
                None if verification is None or verification.cross_r1 is None else f"{verification.cross_r1:.1%}",
                None if verification is None else interval_text(verification.cross_r1_interval),
            )
        )
    columns = (
        "artifact", "subnetwork", "runtime", "p50 ms", "asked", "ms", "ms at export", "budget ms", "n", "cross R@1",
        "95%",
    )  # fmt: skip
    return Report(
        title="prunnet-bench",
        tables=(Table("measured now", columns, tuple(rows)),) if rows else (),
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
    )
