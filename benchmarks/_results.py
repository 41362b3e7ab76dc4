"""The file of a run of ``prunnet-bench``: what was measured and verified, on which device, with every sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from prunnet_export._documents import decode_json, read_json
from prunnet_export._errors import GateFailed, InvalidInput, PrunnetError, Unreachable, UsageError
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export.artifact import SubnetworkEntry, VerificationEntry
from prunnet_export.budget import Budget
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import LatencyReport, Milliseconds

_VERSION: Literal[1] = 1
Status = Literal["passed", "failed", "error", "skipped"]
Samples = list[list[Milliseconds]]
"""Milliseconds of each inference, one list for each run in a process of its own."""


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check with its result. ``message`` has the figure and its threshold."""

    name: str
    passed: bool
    message: str


class SkipEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit or a gate that was not looked at, the reason, and what the user can do about it."""

    name: str
    message: str
    hint: str = ""


class AnchorEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The anchor: a model that never changes, timed in turns with the artifact on the same device.

    Attributes:
        name: Its name and version.
        runtime: Its engine.
        runtime_version: The version of this engine.
        samples_ms: Its samples.
    """

    name: str
    runtime: str
    runtime_version: str
    samples_ms: Samples


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One artifact on one device.

    Attributes:
        name: Name of the case, the same in every run: ``TARGET/NETWORK/BUDGET@DEVICE`` in a matrix, else the name of
            the artifact's folder.
        status: ``passed``; ``failed``, if a check failed; ``error``, if it could not be made; ``skipped``, if the
            device is not there.
        exit_code: The exit code of this case alone.
        message: The reason, unless it passed.
        hint: What the user can do about it.
        seconds: The time it took.
        target: Name of the hardware profile.
        network: Name of the network.
        device: Label of the device, such as ``local`` or ``ssh://board``.
        budget: The budget.
        artifact: Path of the artifact, relative to the folder of this file if it lies there; empty if there is none.
        subnetwork: The subnetwork.
        latency: Latency on the device, or predicted.
        samples_ms: The samples behind ``latency``; empty if it was not measured.
        anchor: The anchor; null if none was measured.
        size_mb: Size of the model files, MB of 10^6 bytes.
        peak_mb: Peak memory, MiB; null if it was not measured.
        verification: The verification; null if there was none.
        checks: The checks of the budget and the gates.
        skips: Limits and gates that were not looked at.
        machine: The fingerprint of the device; null if it did not answer.
    """

    name: str
    status: Status
    exit_code: int = 0
    message: str = ""
    hint: str = ""
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    target: str = ""
    network: str = ""
    device: str = ""
    budget: Budget | None = None
    artifact: str = ""
    subnetwork: SubnetworkEntry | None = None
    latency: LatencyReport | None = None
    samples_ms: Samples = []
    anchor: AnchorEntry | None = None
    size_mb: Annotated[float, msgspec.Meta(ge=0)] | None = None
    peak_mb: Annotated[float, msgspec.Meta(ge=0)] | None = None
    verification: VerificationEntry | None = None
    checks: list[CheckEntry] = []
    skips: list[SkipEntry] = []
    machine: Fingerprint | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All results of one run of the command.

    Attributes:
        format: Always ``prunnet-bench-run``.
        version: Version of this format.
        created: Time of the start: UTC, ISO 8601, to the second.
        tools: Versions of the installed distributions on the host.
        results: The results.
    """

    format: Literal["prunnet-bench-run"] = "prunnet-bench-run"
    version: Literal[1] = _VERSION
    created: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?!\n)$")]
    tools: dict[str, str] = {}
    results: list[Result] = []


class _Head(msgspec.Struct, frozen=True):
    """The part of a file that every version has."""

    format: Literal["prunnet-bench-run"]
    version: int


def is_run(file: Path) -> bool:
    """Whether a JSON file says that it is a run, of any version.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        decode_json(read_bytes(file, at_most=SETTINGS_BYTES), _Head)
    except msgspec.DecodeError:
        return False
    return True


def read_results(file: Path) -> Run:
    """A run that was stored.

    Raises:
        InvalidInput: the file is corrupt, is no such file, or is of another version.
    """
    hint = "it is written by prunnet-bench check ARTIFACT --results FOLDER and prunnet-bench matrix"
    try:
        return read_json(file, Run, hint=hint)
    except InvalidInput:
        head = read_json(file, _Head, hint=hint)
        if head.version == _VERSION:
            raise
        raise InvalidInput(
            f"{file} is of version {head.version}, and this is version {_VERSION}",
            hint="use the version of prunnet-bench that wrote it",
        ) from None


def write_results(file: Path, run: Run) -> None:
    """Store a run. A reader never sees half of it.

    Raises:
        StorageError: the folder cannot be written.
    """
    replace_file(file, msgspec.json.encode(run) + b"\n")


def worst_exit_code(codes: Iterable[int]) -> int:
    """The exit code of many cases: that of a bug, else of a usage error, a failed gate, or an absent device."""
    order = (PrunnetError.exit_code, UsageError.exit_code, GateFailed.exit_code, Unreachable.exit_code, 0)
    return min(codes, key=order.index, default=0)
