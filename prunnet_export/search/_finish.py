"""Finishing an artifact on its device: build, measure, and pick again among the candidates that travelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import msgspec

from prunnet_export._errors import InvalidInput, Unreachable, UsageError
from prunnet_export._files import storage_errors
from prunnet_export.artifact import (
    ArtifactWriter,
    FrontierEntry,
    Manifest,
    MemoryEntry,
    RuntimeEntry,
    SubnetworkEntry,
    VerificationEntry,
    verify_files,
)
from prunnet_export.devices import Device, measure_latency, peak_memory_mb
from prunnet_export.measuring import LatencyReport
from prunnet_export.runtimes import Model, Runtime
from prunnet_export.verification import REFERENCE_FILE, Again, Reference, artifact_reference, save_reference

_NOT_OF_A_MODEL = {"README.md", "manifest.json", REFERENCE_FILE}


@dataclass(frozen=True)
class _Candidate:
    """A candidate that travelled: the chosen one, or an alternative."""

    home: str
    entry: str
    embeddings: str | None
    subnetwork: SubnetworkEntry
    verification: VerificationEntry

    def names(self, manifest: Manifest) -> list[str]:
        """Its files, as the artifact names them."""
        if self.home:
            return [name for name in manifest.files if name.startswith(f"{self.home}/") and name != self.embeddings]
        return [name for name in manifest.files if not name.startswith("alternatives/") and name not in _NOT_OF_A_MODEL]

    def within(self, name: str) -> str:
        """A file's name once the candidate is the chosen one."""
        return name.removeprefix(f"{self.home}/") if self.home else name


@dataclass(frozen=True)
class _Measured:
    candidate: _Candidate
    folder: Path
    model: Model
    names: list[str]
    opened: list[str]
    latency: LatencyReport
    memory: MemoryEntry

    @property
    def entry(self) -> str:
        """What the engine opens first, as the artifact names it."""
        return self.model.file.relative_to(self.folder).as_posix()

    @property
    def size_mb(self) -> float:
        """Of what the engine opens: the graph that it was built from travels to be verified by."""
        return sum((self.folder / name).stat().st_size for name in self.opened) / 1e6


@dataclass(frozen=True)
class Finish:
    """Completes an artifact whose latency was predicted, on a device that can measure it.

    Needs the base install and the runtime's extra, no torch.

    Attributes:
        folder: The artifact.
        manifest: Its manifest.
        runtime: Its engine.
        device: Where to measure and verify.
        options: What the runtime compiles for, in its own words.
        threads: Intra-operator threads; None leaves it to the engine.
        say: Called with one line of progress.
        warn: Called with one line where something cannot be looked at.
    """

    folder: Path
    manifest: Manifest
    runtime: Runtime
    device: Device
    options: dict[str, str]
    threads: int | None
    say: Callable[[str], None]
    warn: Callable[[str], None]

    def run(self, destination: Path) -> tuple[Path, Manifest]:
        """Build and measure from the largest candidate down to the first that fits, verify that one, and write it.

        Args:
            destination: Where to; it may be the artifact itself, which is replaced at the end.

        Raises:
            UsageError: there is nothing left to finish.
            Unreachable: this is not the device.
            StorageError: the disk is full.
        """
        if self.manifest.built and self.manifest.latency.source == "measured":
            raise UsageError(f"{self.folder} was measured when it was exported", hint=f"prunnet-bench {self.folder}")
        obstacle = self.runtime.obstacle()
        if obstacle is not None:
            raise Unreachable(
                f"{self.runtime.name} does not run here: {obstacle}", hint="run this on the device, with its extra"
            )
        verify_files(self.folder, self.manifest)
        with ArtifactWriter(destination) as writer, TemporaryDirectory(prefix="prunnet-finish-") as temporary:
            measured = self._measure(Path(temporary))
            chosen = next((one for one in measured if self._inside(one)), None)
            chosen = chosen or min(measured, key=lambda one: one.latency.upper_ms)
            self.say(f"verifying {_label(chosen.candidate)}")
            reference = artifact_reference(self.folder, self.manifest, chosen.candidate.embeddings)
            finished = self._manifest(chosen, measured, reference)
            with storage_errors(destination):
                for name in chosen.names:
                    (writer.folder / name).parent.mkdir(parents=True, exist_ok=True)
                    copyfile(chosen.folder / name, writer.folder / name)
                save_reference(reference, writer.folder / REFERENCE_FILE)
            return writer.finish(finished), finished

    def _candidates(self) -> list[_Candidate]:
        manifest = self.manifest
        chosen = _Candidate("", manifest.entry, None, manifest.subnetwork, manifest.verification)
        others = [
            _Candidate(
                other.reference.rpartition("/")[0], other.entry, other.reference, other.subnetwork, other.verification
            )
            for other in manifest.alternatives
        ]
        return sorted([chosen, *others], key=lambda one: -one.subnetwork.capacity)

    def _measure(self, temporary: Path) -> list[_Measured]:
        measured: list[_Measured] = []
        for index, candidate in enumerate(self._candidates()):
            try:
                one = self._build(candidate, temporary / str(index))
            except (InvalidInput, Unreachable) as error:  # a large one may be too large to build; a smaller one is not
                if index == len(self.manifest.alternatives) and not measured:
                    raise
                self.warn(f"{_label(candidate)}: {error.message}")
                continue
            measured.append(one)
            verdict = "fits" if self._inside(one) else "does not fit"
            self.say(f"{_label(candidate)}: {one.latency.upper_ms:.3g} ms, {verdict}")
            if self._inside(one):
                break
        return measured

    def _build(self, candidate: _Candidate, folder: Path) -> _Measured:
        precision, budget = candidate.subnetwork.precision, self.manifest.budget
        names = [candidate.within(name) for name in candidate.names(self.manifest)]
        with storage_errors(folder):
            for source, name in zip(candidate.names(self.manifest), names, strict=True):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                copyfile(self.folder / source, folder / name)
        self.say(f"building {_label(candidate)}")
        entry = candidate.within(candidate.entry)
        made = self.runtime.finish(Model(folder / entry, self.runtime.name, precision), folder, self.options)
        entry = made[0] if made else entry
        opened = list(made) or names
        names = sorted({*names, *made})
        model = Model(folder / entry, self.runtime.name, precision)
        [latency] = measure_latency(
            self.device,
            [model],
            threads=self.threads,
            runs=5,
            samples=100,
            percentile=budget.percentile,
        )
        reply = peak_memory_mb(self.device, model, threads=self.threads)
        return _Measured(
            candidate, folder, model, names, opened, latency, MemoryEntry(peak_mb=reply.peak_mb, source=reply.source)
        )

    def _inside(self, one: _Measured) -> bool:
        return not self._over_budget(one)

    def _over_budget(self, one: _Measured) -> list[str]:
        return self.manifest.budget.exceeded(
            upper_ms=one.latency.upper_ms, size_mb=one.size_mb, peak_mb=one.memory.peak_mb
        )

    def _manifest(self, chosen: _Measured, measured: list[_Measured], reference: Reference) -> Manifest:
        again = Again(self.manifest, self.runtime, chosen.model, self.device, self.threads, self.warn)
        verification = again.verify(reference, chosen.candidate.verification.gates)
        reasons = [*self._over_budget(chosen), *verification.failures()]
        return msgspec.structs.replace(
            self.manifest,
            status="rejected" if reasons else "verified",
            reasons=reasons,
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
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
            alternatives=[],
            frontier=[_frontier(one, inside=self._inside(one)) for one in reversed(measured)],
            device=self.device.fingerprint(),
        )


def _label(candidate: _Candidate) -> str:
    subnetwork = candidate.subnetwork
    return f"{subnetwork.pattern} {subnetwork.capacity:.1%} {subnetwork.precision}"


def _frontier(one: _Measured, *, inside: bool) -> FrontierEntry:
    subnetwork = one.candidate.subnetwork
    return FrontierEntry(
        pattern=subnetwork.pattern,
        capacity=subnetwork.capacity,
        precision=subnetwork.precision,
        p50_ms=one.latency.p50_ms,
        upper_ms=one.latency.upper_ms,
        size_mb=one.size_mb,
        inside=inside,
        n=one.latency.n,
        source=one.latency.source,
    )
