"""The place where an export measures and verifies: this machine, another one, or none if latencies are predicted."""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prunnet_export._errors import Unreachable, UsageError
from prunnet_export.budget import Budget
from prunnet_export.devices import Device, find_device
from prunnet_export.runtimes import Runtime
from prunnet_export.target import Target

if TYPE_CHECKING:
    from prunnet_export.prediction import Predictor

_LOG = logging.getLogger(__name__)

AUTO = "auto"
PREDICTED = "predicted"
LOCAL = "local"
_HINT = "give the device, --device ssh://user@host"


@dataclass(frozen=True)
class Place:
    """The place where candidates run.

    Attributes:
        device: The device that runs models, to measure and to verify them.
        obstacle: The reason why the latency is predicted; None if it is measured.
        by_twin: Whether twins are verified, because the runtime cannot run on the device.
    """

    device: Device
    obstacle: str | None
    by_twin: bool

    @property
    def key(self) -> str:
        """The part of the build cache's key that depends on the place."""
        return self.device.fingerprint().id if self.obstacle is None else PREDICTED


def choose_place(name: str, target: Target, runtime: Runtime, *, require_measured: bool) -> Place:
    """The place called ``name``. ``auto`` is this machine if it can measure the target, else ``predicted``.

    On an emulated machine files run and are verified, but latencies are predicted.

    Raises:
        Unreachable: a measurement is required, but the place cannot measure the target.
        UnknownName: there is no such device.
    """
    if name not in {AUTO, PREDICTED, LOCAL}:
        device = find_device(name)
        # The fingerprint is read now, so that a board that does not answer is found before minutes of work.
        if why := target.unlike(device.fingerprint().arch):
            _LOG.warning("%s differs from the target's device: %s", name, why)
        place = Place(device, _emulation(device), by_twin=False)
    else:
        runtime_obstacle = runtime.obstacle()
        obstacle = "--device predicted" if name == PREDICTED else target.unlike(platform.machine()) or runtime_obstacle
        if obstacle is not None and name == LOCAL and not require_measured:
            raise Unreachable(f"{target.name} does not run here: {obstacle}", hint=f"{_HINT}, or --device predicted")
        here = find_device(LOCAL)
        place = Place(here, obstacle or _emulation(here), by_twin=runtime_obstacle is not None)
    if place.obstacle is not None and require_measured:
        raise Unreachable(f"{target.name} cannot be measured here: {place.obstacle}", hint=_HINT)
    return place


def _emulation(device: Device) -> str | None:
    """Why the times of a device are no measurements; None if they are."""
    return f"no time is a measurement on {device.fingerprint()}" if device.emulated else None


def predictor_for(
    target: Target, place: Place, budget: Budget, calibrations: Sequence[Path], *, threads: int | None = None
) -> Predictor | None:
    """The predictor of latencies, or None if they are measured.

    It uses the given tables, or else those in the user's cache. Cached tables of another number of threads are ignored.

    Raises:
        InvalidInput: a given table cannot be read.
        UsageError: a given table is of another target or number of threads, or cannot predict a batch; or the budget
            limits the memory, or an end-to-end latency.
    """
    if place.obstacle is None:
        if calibrations:
            raise UsageError("--calibration is for latencies that are predicted", hint="add --device predicted")
        return None
    if budget.ram_mb is not None:
        raise UsageError(
            f"peak memory is not predicted, and {target.name} cannot be measured here", hint="leave out --budget-ram-mb"
        )
    if budget.query.scope != "compute":
        # A prediction of the network alone would always look far better than the whole query is.
        raise UsageError(
            f"an end-to-end latency is not predicted, and {target.name} cannot be measured here",
            hint="give the device, --device ssh://user@host, or --scope compute for the network alone",
        )
    if calibrations and budget.query.batch_size > 1:
        raise UsageError(
            "calibration tables are of one image, and --batch-size asks for more",
            hint="leave out --calibration, and the target's limits predict the batch",
        )
    from prunnet_export._cache_folder import cache_folder
    from prunnet_export.prediction import Predictor, find_calibrations, read_calibration

    tables = [read_calibration(file) for file in calibrations]
    for table, file in zip(tables, calibrations, strict=True):
        if table.target != target.name:
            raise UsageError(f"{file} is a table of {table.target}", hint=f"give one of {target.name}")
        if threads not in {None, table.threads}:
            raise UsageError(
                f"{file} is a table of {table.threads or 'as many as the engine chose'} threads",
                hint="give its --threads",
            )
    tables = tables or find_calibrations(cache_folder() / "calibration", target.name)
    if place.device.emulated and not tables and target.limits is None:
        raise Unreachable(
            f"{target.name} cannot be measured here: {place.obstacle}",
            hint=f"{_HINT}, or a table that a real machine wrote, --calibration FILE",
        )
    return Predictor(target, [table for table in tables if threads in {None, table.threads}])
