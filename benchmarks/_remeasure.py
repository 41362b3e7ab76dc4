"""Measuring and verifying one artifact again, with only the files in its folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import PrunnetError, Unreachable
from prunnet_export.artifact import (
    HeldArtifact,
    Manifest,
    VerificationEntry,
    budget_checks,
    budget_skips,
    chosen_model_files,
    gate_check,
    gate_skips,
    held,
)
from prunnet_export.budget import Figures
from prunnet_export.building import ANCHOR, BuildCache, build_anchor
from prunnet_export.devices import Device, LocalDevice, ModelTimes, measure_samples, peak_memory_mb
from prunnet_export.evaluating import (
    ModelOnDevice,
    artifact_reference,
    golden_gates,
    measure_for_budget,
    verify_again,
)
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Check, Skip
from prunnet_export.runtimes import Model, Runtime, find_runtime

_LOG = logging.getLogger(__name__)


# With an anchor. Processes differ more than inferences, so there are many short runs (docs/regressions.md).
RUNS, SAMPLES = 12, 60


@dataclass(frozen=True)
class Remeasured:
    """An artifact, measured and verified again.

    Attributes:
        folder: The artifact.
        manifest: The manifest of the artifact.
        latency: The new latency, on this device.
        peak_mb: The new peak memory, MiB; None if it was not measured.
        verification: The new verification; None if there was none.
        times: The samples behind ``latency``.
        anchor: The samples of the anchor, which was measured in turns with the artifact; None if there was none.
    """

    folder: Path
    manifest: Manifest
    latency: LatencyReport
    peak_mb: float | None
    verification: VerificationEntry | None
    times: ModelTimes
    anchor: ModelTimes | None

    def checks(self) -> tuple[Check, ...]:
        """The checks of the budget, by the same rule as in the export, and of the gates."""
        figures = Figures(self.latency.limited_ms, self.manifest.size_mb, self.peak_mb)
        gates = self.verification.gates if self.verification else []
        return (*budget_checks(self.manifest.budget, self.latency, figures), *map(gate_check, gates))

    def skips(self) -> tuple[Skip, ...]:
        """The limits and the gates that could not be looked at."""
        limits = budget_skips(self.manifest.budget, self.latency)
        return limits + (gate_skips(self.verification) if self.verification else ())


def remeasure(
    folder: Path, device: Device, *, threads: int | None, verify_too: bool, anchor: bool = False
) -> Remeasured:
    """Measure one artifact again, and verify it if ``verify_too``. It may be replaced meanwhile.

    Args:
        folder: The artifact.
        device: The device to measure and verify on.
        threads: Intra-operator threads; None means as many as in the export.
        verify_too: Whether to verify it.
        anchor: Whether to measure the anchor in turns with it, in more and shorter runs. If the anchor cannot be
            compiled here for the artifact's runtime, a warning says so.

    Raises:
        InvalidInput: the folder holds no artifact, or a file is not the one that its manifest describes.
        MissingExtra: the artifact's runtime is not installed.
        Unreachable: the artifact's runtime cannot run on this machine, or the device does not answer.
    """
    with held(folder) as kept:
        result = _remeasure(kept, device, threads=threads, verify_too=verify_too, with_anchor=anchor)
        if kept.replaced():
            _LOG.warning("%s was replaced meanwhile: the figures are of the artifact that was there before", folder)
        return result


def held_model(kept: HeldArtifact, device: Device) -> Model:
    """The model of an artifact, to be measured on a device.

    Raises:
        UnknownName: there is no such runtime.
        Unreachable: its runtime cannot run on this machine.
    """
    manifest, runtime = kept.manifest, find_runtime(kept.manifest.runtime.name)
    obstacle = runtime.obstacle() if isinstance(device, LocalDevice) else None
    if obstacle is not None:
        raise Unreachable(
            f"{runtime.name} does not run here: {obstacle}", hint="on the device: prunnet-export finish ARTIFACT"
        )
    files = tuple(kept.folder / name for name in chosen_model_files(manifest))
    return Model(kept.folder / manifest.entry, runtime.name, manifest.subnetwork.precision, files)


def _remeasure(
    kept: HeldArtifact, device: Device, *, threads: int | None, verify_too: bool, with_anchor: bool
) -> Remeasured:
    manifest, model = kept.manifest, held_model(kept, device)
    runtime = find_runtime(model.runtime)
    threads = threads if threads is not None else manifest.latency.threads
    if with_anchor:
        beside = _anchor(runtime, device)
        found = measure_for_budget(
            device,
            model,
            manifest.budget,
            manifest.preprocessing,
            threads=threads,
            runs=RUNS,
            samples=SAMPLES,
            anchor=beside,
        )
    else:
        found = measure_for_budget(device, model, manifest.budget, manifest.preprocessing, threads=threads, runs=3)
    peak, verification = None, None
    if verify_too:
        # Before an engine is built, the figure would include the memory of the build; an emulator adds its own.
        batch_size = manifest.budget.query.batch_size
        if runtime.built(model) and not device.emulated:
            peak = peak_memory_mb(device, model, threads=threads, batch_size=batch_size).peak_mb
        tested = ModelOnDevice(model, device, threads)
        holds_queries = manifest.verification.query_images != "none"
        reference = artifact_reference(kept.folder, manifest) if holds_queries else None
        verification = verify_again(tested, manifest, reference, manifest.verification)
        golden = golden_gates(kept.folder, manifest, tested)
        verification = msgspec.structs.replace(verification, gates=[*verification.gates, *golden])
    return Remeasured(kept.origin, manifest, found.latency, peak, verification, found.times, found.anchor)


def _anchor(runtime: Runtime, device: Device) -> Model | None:
    """The anchor, after a try on the device; None, and one warning for each runtime, if there is none."""
    try:
        model = build_anchor(runtime, BuildCache(cache_folder()), device=device.fingerprint().id)
        if not runtime.built(model):
            return _without_anchor(runtime.name, "the engine would be built on the device in every run")
        measure_samples(device, [model], runs=1, samples=1, warmup=0)
    except PrunnetError as error:
        if isinstance(error, Unreachable) and not isinstance(device, LocalDevice):
            raise
        return _without_anchor(runtime.name, error.message)
    return model


@cache
def _without_anchor(runtime: str, reason: str) -> None:
    _LOG.warning(
        "%s is not measured with %s (%s): runs at different times are compared without it", ANCHOR, runtime, reason
    )
