"""Running the cells of one machine: export, measure and verify again. Each cell ends as a result, whatever happens."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from prunnet_export._console import describe_error
from prunnet_export._errors import GateFailed, Unreachable
from prunnet_export._interrupts import was_interrupted
from prunnet_export._stored_paths import stored_path
from prunnet_export._text import shown
from prunnet_export.artifact import Manifest, manifest_checks, manifest_skips, restore
from prunnet_export.benchmarks._measured import measured_result, skip_entries
from prunnet_export.benchmarks._remeasure import remeasure
from prunnet_export.benchmarks._results import CheckEntry, Result
from prunnet_export.benchmarks.matrix._cells import Cell
from prunnet_export.benchmarks.matrix._settings import LOCAL, PREDICTED
from prunnet_export.cli import make_artifact, parse_export
from prunnet_export.devices import Device, find_device
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import find_target

if TYPE_CHECKING:
    from prunnet_export.search import Outcome


class Bench:
    """Runs cells. A board that did not answer is not asked again for each cell."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._silent: dict[str, Unreachable] = {}

    def run(self, cell: Cell) -> Result:
        """The result of a cell. Only an interrupt is raised."""
        begin = time.monotonic()
        try:
            result = self._run(cell)
        except (Exception, SystemExit) as error:  # one cell does not end the others
            if was_interrupted():  # an engine made its own error of the interrupt
                raise KeyboardInterrupt from error
            message, hint, code = describe_error(error, cell.name, "host")
            # A machine that is not there is skipped. An engine that crashes is an error.
            skipped = isinstance(error, Unreachable) and self._absence(cell) is not None
            if "--debug" in sys.argv and not skipped:
                traceback.print_exc()
            result = Result(
                name=cell.name,
                status="skipped" if skipped else "error",
                exit_code=code,
                message=shown(message),
                hint=shown(hint),
                target=cell.target,
                network=cell.network,
                device=cell.device,
                budget=cell.budget,
            )
        return msgspec.structs.replace(result, seconds=round(time.monotonic() - begin, 3))

    def _run(self, cell: Cell) -> Result:
        """The result of a cell; every error is raised."""
        if (absence := self._absence(cell)) is not None:
            raise absence
        outcome = make_artifact(parse_export(cell.words)) if cell.words else None
        if outcome is not None and cell.address == PREDICTED:  # only exports are predicted
            return _predicted(cell, outcome)
        folder = outcome.folder if outcome is not None else cell.artifact
        restore(folder)
        device = self._devices.setdefault(cell.address, find_device(cell.address))
        found = remeasure(folder, device, threads=cell.threads, verify_too=True, anchor=True)
        result = measured_result(found, device, name=cell.name, label=cell.device, seconds=0, home=None)
        result = msgspec.structs.replace(result, artifact=_place(cell, folder))
        return result if outcome is None else _with_export(result, outcome)

    def _absence(self, cell: Cell) -> Unreachable | None:
        """Why the cell cannot run at all: the board does not answer, or this machine is not of the target's kind."""
        if cell.address == PREDICTED:
            return None
        if cell.address == LOCAL:
            return _obstacle_here(cell.target)
        if cell.address not in self._silent:
            try:
                find_device(cell.address).fingerprint()
            except Unreachable as error:
                self._silent[cell.address] = error
        return self._silent.get(cell.address)


def _obstacle_here(name: str) -> Unreachable | None:
    target = find_target(name)
    runtime = find_runtime(target.runtime)
    try:
        runtime.version()
    except Unreachable as error:
        return error
    obstacle = target.unlike(platform.machine()) or runtime.obstacle()
    if obstacle is None:
        return None
    return Unreachable(f"{name} does not run here: {obstacle}", hint="give a device that runs it, or predict it")


def _place(cell: Cell, folder: Path) -> str:
    """Where an artifact lies, from the folder of the results."""
    return stored_path(os.path.relpath(folder, cell.home))


def _predicted(cell: Cell, outcome: Outcome) -> Result:
    """The result of an artifact whose latency is predicted, from its manifest. Its latency gate says so."""
    manifest, check = outcome.manifest, _export_check(outcome.manifest)
    source = manifest.latency.source
    gates = [
        CheckEntry(
            name=f"{one.name} ({source})" if one.name == "latency budget" else one.name,
            passed=one.passed,
            message=one.message,
        )
        for one in manifest_checks(manifest)
    ]
    return Result(
        name=cell.name,
        status="passed" if check.passed else "failed",
        exit_code=0 if check.passed else GateFailed.exit_code,
        message="" if check.passed else check.message,
        hint="" if check.passed else outcome.hint,
        target=manifest.target,
        network=manifest.network.name,
        device=cell.device,
        budget=manifest.budget,
        artifact=_place(cell, outcome.folder),
        subnetwork=manifest.subnetwork,
        latency=manifest.latency,
        size_mb=manifest.size_mb,
        verification=manifest.verification,
        checks=[check, *gates],
        skips=skip_entries(manifest_skips(manifest)),
    )


def _with_export(result: Result, outcome: Outcome) -> Result:
    """The result with a check of the export: it may have been rejected, even if the new measurement is inside."""
    check = _export_check(outcome.manifest)
    result = msgspec.structs.replace(result, checks=[check, *result.checks])
    if check.passed:
        return result
    hint = outcome.hint or "manifest.json of the artifact has the figures"
    return msgspec.structs.replace(
        result, status="failed", exit_code=GateFailed.exit_code, message=check.message, hint=hint
    )


def _export_check(manifest: Manifest) -> CheckEntry:
    verified = manifest.status == "verified"
    message = f"verified: {manifest.subnetwork}" if verified else "; ".join(manifest.reasons)
    return CheckEntry(name="export", passed=verified, message=message)
