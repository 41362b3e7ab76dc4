"""Finishing an artifact on its device: build and measure its candidates, and choose again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from prunnet_export._errors import InvalidInput, Unreachable, UsageError
from prunnet_export._files import copy_files, storage_errors
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.artifact import (
    REFERENCE_FILE,
    REJECTED,
    ArtifactWriter,
    HeldArtifact,
    InputSteps,
    Manifest,
    MemoryEntry,
    RuntimeEntry,
    held,
    utc_now,
    verify_files,
)
from prunnet_export.budget import Figures
from prunnet_export.devices import Device, peak_memory_mb
from prunnet_export.evaluating import (
    ModelOnDevice,
    Reference,
    artifact_reference,
    measure_for_budget,
    save_golden,
    save_reference,
    verify_again,
)
from prunnet_export.finishing._candidates import Candidate, MeasuredCandidate, alternative_files, stored_candidates
from prunnet_export.network_config import below_trained
from prunnet_export.runtimes import Model, Runtime

_LOG = logging.getLogger(__name__)
_AGAIN = "run the same command again; it finishes the new artifact"


@dataclass(frozen=True)
class Finish:
    """Completes an artifact with a predicted latency, on a device that can measure it. Torch is not needed.

    On an emulated machine the chosen candidate is built, verified and timed. But nothing is chosen by these times, and
    all candidates stay in the artifact, so that the real device can choose.

    Attributes:
        folder: Folder of the artifact.
        manifest: Manifest of the artifact.
        runtime: Runtime of the artifact.
        device: The device that measures and verifies.
        options: Compile options for the runtime, in the runtime's own terms.
        threads: Intra-operator threads; None leaves it to the engine.
    """

    folder: Path
    manifest: Manifest
    runtime: Runtime
    device: Device
    options: dict[str, str]
    threads: int | None

    def run(self, destination: Path) -> tuple[Path, Manifest]:
        """Build and measure candidates from the largest to the first that fits; verify that one and write it.

        If that was done on this device before, only the place and the manifest are returned: a process may have been
        killed after the artifact was in its place.

        Args:
            destination: Folder to write; it may be the artifact itself, which is replaced at the end.

        Raises:
            UsageError: the artifact was measured on another device, or it is to be written elsewhere.
            InvalidInput: the artifact is damaged, or another one was put in its place meanwhile.
            Unreachable: the runtime does not run on this machine.
            StorageError: the disk is full.
        """
        if self.manifest.built and self.manifest.latency.source == "measured":
            if self._is_from_here() and destination.resolve() == self._own_destination():
                verify_files(self.folder, self.manifest)
                return self.folder, self.manifest
            raise UsageError(f"{self.folder} was measured when it was exported", hint=f"prunnet-bench {self.folder}")
        obstacle = self.runtime.obstacle()
        if obstacle is not None:
            raise Unreachable(
                f"{self.runtime.name} does not run here: {obstacle}", hint="run this on the device, with its extra"
            )
        with held(self.folder) as kept:
            if kept.manifest.files != self.manifest.files:
                raise InvalidInput(f"{self.folder} was replaced just now", hint=_AGAIN)
            return self._run(destination, kept)

    def _run(self, destination: Path, kept: HeldArtifact) -> tuple[Path, Manifest]:
        """Finish the copy of an artifact."""
        with ArtifactWriter(destination) as writer, TemporaryFolder("finish") as temporary:
            measured = self._measure(kept.folder, Path(temporary))
            chosen = next((one for one in measured if one.inside), None)
            chosen = chosen or min(measured, key=lambda one: one.latency.upper_ms)
            _LOG.info("verifying %s", chosen.candidate.subnetwork)
            reference = artifact_reference(kept.folder, self.manifest, chosen.candidate.embeddings)
            finished = self._manifest(chosen, measured, reference)
            with storage_errors(destination):
                places = {chosen.folder / name: writer.folder / name for name in chosen.names}
                if self.device.emulated:
                    names = alternative_files(self.manifest)
                    places |= {kept.folder / name: writer.folder / name for name in names}
                copy_files(places, inside=writer.folder)
                save_reference(reference, writer.folder / REFERENCE_FILE)
                tested = ModelOnDevice(chosen.model, self.device, self.threads)
                golden = save_golden(writer.folder, tested, self.manifest.preprocessing)
                finished = msgspec.structs.replace(finished, golden=golden, input_steps=InputSteps())
            _check_not_replaced(kept, destination)
            return writer.finish(finished), finished

    def _is_from_here(self) -> bool:
        device = self.manifest.device
        return device is not None and device.id == self.device.fingerprint().id

    def _own_destination(self) -> Path:
        """The destination with which the artifact was written to its folder."""
        folder = self.folder.resolve()
        return folder.with_name(folder.name.removesuffix(REJECTED))

    def _measure(self, artifact: Path, temporary: Path) -> list[MeasuredCandidate]:
        """Build and measure candidates of an artifact from the largest to the first that fits."""
        measured: list[MeasuredCandidate] = []
        candidates = stored_candidates(self.manifest)
        if self.device.emulated:
            candidates = [one for one in candidates if not one.home]
        warning: str | None = None
        for index, candidate in enumerate(candidates):
            cut = candidate.subnetwork
            if warning is None:  # once: those after it are smaller still
                warning = below_trained(cut, cut.capacity, cut.smallest_trained)
                if warning is not None:
                    _LOG.warning("%s", warning)
            try:
                one = self._build(candidate, artifact, temporary / str(index))
            except (InvalidInput, Unreachable) as error:  # it may be too large to build, so try the next one
                if candidate is candidates[-1] and not measured:
                    raise
                _LOG.warning("%s: %s", candidate.subnetwork, error.message)
                continue
            measured.append(one)
            verdict = "emulated" if self.device.emulated else "fits" if one.inside else "does not fit"
            _LOG.info("%s: %.3g ms, %s", candidate.subnetwork, one.latency.upper_ms, verdict)
            if one.inside:
                break
        return measured

    def _build(self, candidate: Candidate, artifact: Path, folder: Path) -> MeasuredCandidate:
        """Build a candidate of an artifact in a folder, and measure it."""
        precision, budget = candidate.subnetwork.precision, self.manifest.budget
        with storage_errors(folder):
            names = candidate.copy_to(folder, artifact)
        _LOG.info("building %s", candidate.subnetwork)
        entry = candidate.finished_name(candidate.entry)
        model = Model(folder / entry, self.runtime.name, precision)
        made = self.runtime.finish(model, folder, self.options)
        if made:
            model = replace(model, file=folder / made[0])
        model = replace(model, files=tuple(folder / name for name in made or names))
        size_mb = sum((folder / name).stat().st_size for name in made or names) / 1e6
        steps, batch_size = self.manifest.preprocessing, budget.query.batch_size
        found = measure_for_budget(self.device, model, budget, steps, threads=self.threads, runs=5, samples=100)
        memory = None
        if not self.device.emulated:
            reply = peak_memory_mb(self.device, model, threads=self.threads, batch_size=batch_size)
            memory = MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)
        peak_mb = None if memory is None else memory.peak_mb
        return MeasuredCandidate(
            candidate=candidate,
            folder=folder,
            model=model,
            names=sorted({*names, *made}),
            size_mb=size_mb,
            latency=found.latency,
            memory=memory,
            over_budget=budget.exceeded(Figures(found.latency.limited_ms, size_mb, peak_mb)),
        )

    def _manifest(self, chosen: MeasuredCandidate, measured: list[MeasuredCandidate], reference: Reference) -> Manifest:
        tested = ModelOnDevice(chosen.model, self.device, self.threads)
        verification = verify_again(tested, self.manifest, reference, chosen.candidate.verification)
        reasons = [*chosen.over_budget, *verification.failures()]
        return msgspec.structs.replace(
            self.manifest,
            status="rejected" if reasons else "verified",
            reasons=reasons,
            created=utc_now(),
            files={},
            entry=chosen.entry,
            runtime=RuntimeEntry(name=self.runtime.name, version=self.runtime.version()),
            subnetwork=chosen.candidate.subnetwork,
            latency=chosen.latency,
            dense_latency=None,
            memory=chosen.memory,
            size_mb=chosen.size_mb,
            verification=verification,
            verified_by=None,
            built=True,
            alternatives=self.manifest.alternatives if self.device.emulated else [],
            frontier=self.manifest.frontier
            if self.device.emulated
            else [one.frontier_entry() for one in reversed(measured)],
            device=self.device.fingerprint(),
        )


def _check_not_replaced(kept: HeldArtifact, destination: Path) -> None:
    """Warn if another artifact is in the place of the one that is finished.

    Raises:
        InvalidInput: the finished artifact would overwrite it.
    """
    if not kept.replaced():
        return
    message = f"{kept.origin} was replaced while it was being finished"
    place = destination.resolve()
    if kept.origin.resolve() in {place, place.with_name(place.name + REJECTED)}:
        raise InvalidInput(message, hint=_AGAIN)
    _LOG.warning("%s: the result is of the artifact that was there before", message)
