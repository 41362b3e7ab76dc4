"""The two sides of ``prunnet-bench diff``: stored runs, or artifacts that are measured in turns now."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._text import shown
from prunnet_export.artifact import MANIFEST, HeldArtifact, budget_checks, gate_check, held, restore
from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._measured import check_entries, rounded
from prunnet_export.benchmarks._remeasure import RUNS, SAMPLES, held_model
from prunnet_export.benchmarks._results import Result, read_results
from prunnet_export.budget import Figures
from prunnet_export.devices import Device, ModelTimes, Timed, measure_samples

_LEAST, _MOST = 1e-6, 1e9  # milliseconds of an inference: a nanosecond and eleven days
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        label: Where its results are from, for people.
        results: Its results by their names.
    """

    label: str
    results: dict[str, Result]


def is_artifact(path: Path) -> bool:
    """Whether a path is an artifact. One that a killed process has moved away is moved back."""
    restore(path)
    return (path / MANIFEST).exists()


def read_runs(old: Path, new: Path) -> tuple[Side, Side]:
    """Two stored runs: files, or the newest ones of folders of results. If both are one folder, its newest two.

    Raises:
        InvalidInput: a path is no run, a folder holds no or only one run, or the results cannot be compared.
    """
    same = old.is_dir() and new.is_dir() and old.resolve() == new.resolve()
    return _read_side(old, newest=2 if same else 1), _read_side(new)


def _read_side(path: Path, *, newest: int = 1) -> Side:
    file = path
    if path.is_dir():
        files = run_files(path)
        if len(files) < newest:
            raise InvalidInput(f"{path} holds only one run", hint="give two different runs, or store another one there")
        file = files[-newest]
    run = read_results(file)
    results: dict[str, Result] = {}
    for result in run.results:
        if result.name in results:
            raise InvalidInput(f"{file} holds two results {result.name!r}", hint="give each case a name of its own")
        _check_samples(file, result)
        results[result.name] = result
    return Side(f"{shown(file)} ({run.created})", results)


def _check_samples(file: Path, result: Result) -> None:
    """Raise InvalidInput if a run of a result has no samples or impossible ones, or no run of the anchor beside it."""
    anchor = result.anchor.samples_ms if result.anchor is not None else result.samples_ms
    if len(anchor) != len(result.samples_ms) or not all(result.samples_ms) or not all(anchor):
        raise InvalidInput(
            f"{file}: the runs of {result.name!r} and of its anchor do not go together", hint="store the run again"
        )
    if not all(_LEAST <= sample <= _MOST for run in (*result.samples_ms, *anchor) for sample in run):
        raise InvalidInput(f"{file}: {result.name!r} has a latency that cannot be", hint="store the run again")


def measure_artifacts(old: Path, new: Path, device: Device, *, label: str, threads: int | None) -> tuple[Side, Side]:
    """Measure two artifacts in turns. The figures of the verification are those of their manifests.

    Args:
        old: An artifact.
        new: The artifact to compare with it. Both sides name the result as its folder.
        device: The device.
        label: Label of the device.
        threads: Intra-operator threads; None means as many as in the export of each.

    Raises:
        InvalidInput: a folder holds no artifact, or the artifacts were exported for different numbers of threads.
        MissingExtra: a runtime is not installed.
        Unreachable: a runtime cannot run on this machine, or the device does not answer.
    """
    with ExitStack() as stack:
        both = [stack.enter_context(held(folder)) for folder in (old, new)]
        asked = {kept.manifest.latency.threads if threads is None else threads for kept in both}
        if len(asked) > 1:
            raise InvalidInput("the artifacts were measured with different numbers of threads", hint="add --threads")
        models = [held_model(kept, device) for kept in both]
        _LOG.info("measuring %s and %s in turns", shown(old), shown(new))
        times = measure_samples(
            device,
            models,
            threads=asked.pop(),
            runs=RUNS,
            samples=SAMPLES,
            percentile=max(kept.manifest.budget.percentile for kept in both),
            timed=[Timed(kept.manifest.budget.query, kept.manifest.preprocessing) for kept in both],
        )
        name = shown(new.absolute().name)
        first, second = (
            Side(shown(kept.origin), {name: _result(kept, one, device, name=name, label=label)})
            for kept, one in zip(both, times, strict=True)
        )
        return first, second


def _result(kept: HeldArtifact, times: ModelTimes, device: Device, *, name: str, label: str) -> Result:
    manifest = kept.manifest
    latency = times.report(manifest.budget.percentile)
    peak_mb = None if manifest.memory is None else manifest.memory.peak_mb
    limits = budget_checks(manifest.budget, latency, Figures(latency.limited_ms, manifest.size_mb, peak_mb))
    checks = [*limits, *map(gate_check, manifest.verification.gates)]
    return Result(
        name=name,
        status="passed" if all(check.passed for check in checks) else "failed",
        target=manifest.target,
        network=manifest.network.name,
        device=label,
        budget=manifest.budget,
        subnetwork=manifest.subnetwork,
        latency=latency,
        samples_ms=rounded(times),
        size_mb=manifest.size_mb,
        peak_mb=peak_mb,
        verification=manifest.verification,
        checks=check_entries(checks),
        machine=device.fingerprint(),
    )
