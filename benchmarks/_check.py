"""Measuring and verifying an artifact again, from its own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._console import fail_line, note, warn
from prunnet_export._errors import GateFailed, InvalidInput, MissingExtra
from prunnet_export.artifact import Gate, Manifest, VerificationEntry, read_manifest, verify_files
from prunnet_export.devices import Device, Model, embed, find_device, measure_latency, peak_memory_mb, placement
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Check, Report, Table, render
from prunnet_export.runtimes import Runtime, find_runtime
from prunnet_export.verification import (
    BYTES_IMAGES,
    REFERENCE_FILE,
    Expected,
    Observed,
    Thresholds,
    load_reference,
    verify,
)

_CHUNK = 250  # images that are decoded and held at a time, as in an export


@dataclass(frozen=True)
class Remeasured:
    """An artifact, measured and verified again.

    Attributes:
        folder: The artifact.
        manifest: What it says of itself.
        latency: Now, on this device.
        peak_mb: Peak memory now, MiB; None where it was not asked for.
        verification: Now; None where it was not asked for.
    """

    folder: Path
    manifest: Manifest
    latency: LatencyReport
    peak_mb: float | None
    verification: VerificationEntry | None

    def checks(self) -> tuple[Check, ...]:
        """What has to hold."""
        budget, name = self.manifest.budget, self.folder.name
        made = []
        if budget.latency_ms is not None:
            inside = self.latency.percentile_ms <= budget.latency_ms
            made.append(Check(f"{name}: latency budget", inside, f"{self.latency}, budget {budget.latency_ms:g} ms"))
        if budget.size_mb is not None:
            message = f"{self.manifest.size_mb:.3g} MB, budget {budget.size_mb:g} MB"
            made.append(Check(f"{name}: size budget", self.manifest.size_mb <= budget.size_mb, message))
        if budget.ram_mb is not None and self.peak_mb is not None:
            message = f"{self.peak_mb:.3g} MiB, budget {budget.ram_mb:g} MiB"
            made.append(Check(f"{name}: memory budget", self.peak_mb <= budget.ram_mb, message))
        gates = self.verification.gates if self.verification else []
        made += [
            Check(f"{name}: {gate.name}", gate.passed, f"{gate.value:.4g}, n {gate.n}: {gate.note}") for gate in gates
        ]
        return tuple(made)


def check_artifacts(
    artifacts: Sequence[Path], *, verify_too: bool, device: str, threads: int | None, output_format: str, **_: Any
) -> int:
    """Measure artifacts again, verify them again where asked, and print the report; returns the exit code."""
    machine = find_device(device)
    results = []
    for folder in artifacts:
        note(f"measuring {folder}")
        results.append(remeasure(folder, machine, threads=threads, verify_too=verify_too))
    checks = tuple(check for result in results for check in result.checks())
    failed = [check for check in checks if not check.passed]
    click.echo(render(_report(results, checks), output_format), nl=False)
    if failed:
        fail_line(
            f"{failed[0].name}: {failed[0].message}",
            f"{len(failed)} of {len(checks)} checks failed; export again on this device",
        )
        return GateFailed.exit_code
    return 0


def remeasure(folder: Path, device: Device, *, threads: int | None, verify_too: bool) -> Remeasured:
    """One artifact, measured and maybe verified again.

    Raises:
        InvalidInput: the folder holds no artifact, or a file is not the one that its manifest describes.
        MissingExtra: its runtime is not installed.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    runtime, entry = find_runtime(manifest.runtime.name), folder / manifest.entry
    threads = threads if threads is not None else manifest.latency.threads
    [latency] = measure_latency(
        device,
        runtime.name,
        [Model(entry, manifest.subnetwork.precision)],
        threads=threads,
        runs=3,
        percentile=manifest.budget.percentile,
    )
    if not verify_too:
        return Remeasured(folder, manifest, latency, None, None)
    memory = peak_memory_mb(device, runtime.name, entry, precision=manifest.subnetwork.precision, threads=threads)
    return Remeasured(folder, manifest, latency, memory.peak_mb, _verify_again(folder, manifest, device, threads))


def _verify_again(folder: Path, manifest: Manifest, device: Device, threads: int | None) -> VerificationEntry:
    reference = load_reference(folder / REFERENCE_FILE)
    if reference.network != manifest.network.sha256:
        raise InvalidInput(f"{folder}: {REFERENCE_FILE} is of another network", hint="export the artifact again")
    runtime, entry = find_runtime(manifest.runtime.name), folder / manifest.entry
    precision = manifest.subnetwork.precision
    queries = _embedded(folder, manifest, reference.images, device, threads)
    observed = Observed(
        queries=queries,
        from_bytes=queries[:BYTES_IMAGES],
        gallery=None,  # the self-test needs the gallery's images, which do not travel
        weights=_weights(runtime, entry),
        placement=placement(device, runtime.name, entry, precision=precision),
    )
    gates = {gate.name: gate for gate in manifest.verification.gates}
    return verify(observed, reference, _expected(gates, precision), _thresholds(gates))


def _embedded(
    folder: Path, manifest: Manifest, images: Sequence[bytes], device: Device, threads: int | None
) -> npt.NDArray[np.float32]:
    parts = [
        embed(
            device,
            manifest.runtime.name,
            folder / manifest.entry,
            manifest.preprocessing(images[start : start + _CHUNK]),
            precision=manifest.subnetwork.precision,
            threads=threads,
        )
        for start in range(0, len(images), _CHUNK)
    ]
    joined: npt.NDArray[np.float32] = np.concatenate(parts)
    return joined


def _weights(runtime: Runtime, entry: Path) -> Mapping[str, npt.NDArray[np.generic]] | None:
    """The shipped weights, or None on a device that has the runtime and nothing to read its files with."""
    try:
        return runtime.read_weights(entry)
    except MissingExtra as error:
        warn(f"{error.message}: for zeros and weights the file's hash vouches alone")
        return None


def _thresholds(gates: dict[str, Gate]) -> Thresholds:
    """What the export asked for, so that checking again asks for the same."""
    asked = {name: gate.threshold for name, gate in gates.items() if gate.threshold is not None}
    default = Thresholds()
    return Thresholds(
        parity=asked.get("parity"),
        recall=asked.get("cross-test recall", default.recall),
        overlap=asked.get("neighbour overlap", default.overlap),
        spread=asked.get("spread", default.spread),
    )


def _expected(gates: dict[str, Gate], precision: str) -> Expected:
    """The subnetwork's weights and zeros, from what the export counted.

    Where each zero lies was looked at then; that the file is still the same one, its hash says.
    """
    shipped, zeros = gates.get("weights shipped"), gates.get("zeros kept")
    if shipped is None or zeros is None or shipped.value <= 0:
        raise InvalidInput("the manifest does not say what was shipped", hint="export the artifact again")
    elements = round(shipped.n / shipped.value)
    return Expected(precision=precision, elements=elements, zeros=int((zeros.threshold or 0) / 0.999 * elements))


def _report(results: Sequence[Remeasured], checks: tuple[Check, ...]) -> Report:
    rows = []
    for result in results:
        manifest, now, then = result.manifest, result.latency, result.manifest.latency
        verification = result.verification
        rows.append(
            (
                result.folder.name,
                f"{manifest.subnetwork.pattern} {manifest.subnetwork.capacity:.1%} {manifest.subnetwork.precision}",
                f"{now.runtime} {now.runtime_version}",
                now.p50_ms,
                now.percentile_ms,
                then.percentile_ms,
                manifest.budget.latency_ms,
                now.n,
                None if verification is None or verification.cross_r1 is None else f"{verification.cross_r1:.1%}",
            )
        )
    percentile = f"p{results[0].latency.percentile:g}"
    columns = (
        "artifact", "subnetwork", "runtime", "p50 ms", f"{percentile} ms", f"{percentile} ms at export", "budget ms",
        "n", "cross R@1",
    )  # fmt: skip
    return Report(
        title="prunnet-bench",
        tables=(Table("measured now", columns, tuple(rows)),),
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
            "checks": [{"name": c.name, "passed": c.passed, "message": c.message} for c in checks],
        },
        footer=(),
    )
