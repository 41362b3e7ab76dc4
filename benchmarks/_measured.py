"""One artifact on one device as a result that can be stored: measured, with an anchor, and verified."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from prunnet_export._errors import GateFailed, PrunnetError, Unreachable
from prunnet_export._stored_paths import stored_path
from prunnet_export._text import shown
from prunnet_export.artifact import restore
from prunnet_export.benchmarks._remeasure import Remeasured, remeasure
from prunnet_export.benchmarks._results import AnchorEntry, CheckEntry, Result, Samples
from prunnet_export.building import ANCHOR
from prunnet_export.devices import Device, ModelTimes
from prunnet_export.reports import Check

_DIGITS = 6  # of milliseconds: nanoseconds


def measure_artifact(
    folder: Path,
    device: Device,
    *,
    name: str,
    label: str,
    threads: int | None = None,
    verify_too: bool = True,
    anchor: bool = True,
    home: Path | None = None,
) -> Result:
    """Measure an artifact again on a device, in turns with the anchor, and verify it. Errors become a result too.

    Args:
        folder: The artifact.
        device: The device.
        name: Name of the case, the same in every run.
        label: Label of the device, such as ``local``.
        threads: Intra-operator threads; None means as many as in the export.
        verify_too: Whether to verify it.
        anchor: Whether to measure the anchor in turns with it.
        home: The folder of the file that the result is stored in.
    """
    begin = time.monotonic()
    try:
        restore(folder)
        measured = remeasure(folder, device, threads=threads, verify_too=verify_too, anchor=anchor)
        return measured_result(measured, device, name=name, label=label, seconds=time.monotonic() - begin, home=home)
    except PrunnetError as error:
        return error_result(error, name=name, label=label, seconds=time.monotonic() - begin, folder=folder, home=home)


def measured_result(
    measured: Remeasured, device: Device, *, name: str, label: str, seconds: float, home: Path | None
) -> Result:
    """The result of an artifact that was measured. The arguments are those of :func:`measure_artifact`."""
    manifest, checks = measured.manifest, measured.checks()
    failed = [check for check in checks if not check.passed]
    return Result(
        name=name,
        status="failed" if failed else "passed",
        exit_code=GateFailed.exit_code if failed else 0,
        message=f"{failed[0].name}: {failed[0].message}" if failed else "",
        hint=f"{len(failed)} of {len(checks)} checks failed; export again on this device" if failed else "",
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


def rounded(times: ModelTimes) -> Samples:
    """The samples to the nanosecond, to be stored."""
    return [[round(sample, _DIGITS) for sample in run] for run in times.samples_ms]


def _anchor_entry(times: ModelTimes | None) -> AnchorEntry | None:
    if times is None:
        return None
    return AnchorEntry(
        name=ANCHOR, runtime=times.runtime, runtime_version=times.runtime_version, samples_ms=rounded(times)
    )
