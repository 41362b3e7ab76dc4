"""One artifact on one device as a result that can be stored: measured, with an anchor, and verified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from prunnet_export._errors import GateFailed, PrunnetError, Unreachable
from prunnet_export._stored_paths import stored_path
from prunnet_export._text import shown
from prunnet_export.benchmarks._remeasure import Remeasured
from prunnet_export.benchmarks._results import AnchorEntry, CheckEntry, Result, Samples, SkipEntry
from prunnet_export.building import ANCHOR
from prunnet_export.devices import Device, ModelTimes
from prunnet_export.reports import Check, Skip

_DIGITS = 6  # of milliseconds: nanoseconds


def measured_result(
    measured: Remeasured, device: Device, *, name: str, label: str, seconds: float, home: Path | None
) -> Result:
    """The result of an artifact that was measured.

    Args:
        measured: What was found.
        device: The device that measured.
        name: Name of the case, the same in every run.
        label: Label of the device, such as ``local``.
        seconds: The time that it took.
        home: The folder of the file that the result is stored in; None if paths are stored as they are.
    """
    manifest, checks = measured.manifest, measured.checks()
    failed = [check for check in checks if not check.passed]
    return Result(
        name=name,
        status="failed" if failed else "passed",
        exit_code=GateFailed.exit_code if failed else 0,
        message=f"{failed[0].name}: {failed[0].message}" if failed else "",
        hint=f"{len(failed)} of {len(checks)} checks failed; export again for this device" if failed else "",
        seconds=round(seconds, 3),
        target=manifest.target,
        network=manifest.network.name,
        device=label,
        budget=manifest.budget,
        artifact=artifact_path(measured.folder, home),
        subnetwork=manifest.subnetwork,
        latency=measured.latency,
        samples_ms=rounded(measured.times),
        anchor=_anchor_entry(measured.anchor),
        size_mb=manifest.size_mb,
        peak_mb=measured.peak_mb,
        verification=measured.verification,
        checks=check_entries(checks),
        skips=skip_entries(measured.skips()),
        machine=device.fingerprint(),
    )


def error_result(
    error: PrunnetError, *, name: str, label: str, seconds: float, folder: Path, home: Path | None
) -> Result:
    """The result of an artifact that could not be measured. A device that is not there makes it ``skipped``."""
    return Result(
        name=name,
        status="skipped" if error.exit_code == Unreachable.exit_code else "error",
        exit_code=error.exit_code,
        message=shown(error.message),
        hint=shown(error.hint),
        seconds=round(seconds, 3),
        device=label,
        artifact=artifact_path(folder, home),
    )


def artifact_path(folder: Path, home: Path | None) -> str:
    """The path of an artifact in a result: relative to ``home``, the folder of the file, if it lies there."""
    if home is not None:
        whole, inside = folder.absolute(), home.absolute()
        if whole.is_relative_to(inside):
            return stored_path(whole.relative_to(inside))
    return stored_path(folder)


def case_names(folders: Sequence[Path]) -> list[str]:
    """A name for each artifact: that of its folder, or its whole path if two folders have the same name."""
    names = [shown(folder.absolute().name) for folder in folders]
    return [name if names.count(name) == 1 else shown(folder) for name, folder in zip(names, folders, strict=True)]


def check_entries(checks: Iterable[Check]) -> list[CheckEntry]:
    """Checks, to be stored."""
    return [CheckEntry(name=check.name, passed=check.passed, message=check.message) for check in checks]


def skip_entries(skips: Iterable[Skip]) -> list[SkipEntry]:
    """What was not looked at, to be stored."""
    return [SkipEntry(name=skip.name, message=skip.message, hint=skip.hint) for skip in skips]


def rounded(times: ModelTimes) -> Samples:
    """The samples to the nanosecond, to be stored."""
    return [[round(sample, _DIGITS) for sample in run] for run in times.samples_ms]


def _anchor_entry(times: ModelTimes | None) -> AnchorEntry | None:
    if times is None:
        return None
    return AnchorEntry(
        name=ANCHOR, runtime=times.runtime, runtime_version=times.runtime_version, samples_ms=rounded(times)
    )
