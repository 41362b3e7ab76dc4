"""The candidates in an artifact, and their builds and measurements on the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prunnet_export._files import copy_files
from prunnet_export.artifact import (
    AlternativeEntry,
    FrontierEntry,
    Manifest,
    MemoryEntry,
    SubnetworkEntry,
    VerificationEntry,
    chosen_model_files,
)
from prunnet_export.measuring import LatencyReport
from prunnet_export.runtimes import Model


@dataclass(frozen=True)
class Candidate:
    """A candidate in an artifact: the chosen one, or an alternative.

    Attributes:
        home: The alternative's folder in the artifact; empty for the chosen one.
        entry: Name in the artifact of the file that the engine opens.
        embeddings: Name of the file with its torch embeddings; None for the chosen one, as the reference has them.
        files: Names of its files in the artifact.
        subnetwork: The subnetwork.
        verification: Its verification on the host.
    """

    home: str
    entry: str
    embeddings: str | None
    files: tuple[str, ...]
    subnetwork: SubnetworkEntry
    verification: VerificationEntry

    def finished_name(self, name: str) -> str:
        """The name of a file in the finished artifact."""
        return name.removeprefix(f"{self.home}/") if self.home else name

    def copy_to(self, folder: Path, artifact: Path) -> list[str]:
        """Copy the candidate's files from the artifact to a folder; returns their names in that folder."""
        names = [self.finished_name(name) for name in self.files]
        places = {artifact / source: folder / name for source, name in zip(self.files, names, strict=True)}
        copy_files(places, inside=folder)
        return names


@dataclass(frozen=True)
class MeasuredCandidate:
    """A candidate that was built and measured on the device.

    Attributes:
        candidate: The candidate.
        folder: The folder in which it was built.
        model: The model that the engine opens.
        names: Names in that folder of all files for the finished artifact.
        size_mb: Size of the files that the engine opens, in 10^6 bytes, without a graph that it was built from.
        latency: Measured latency.
        memory: Measured memory; None if the device is emulated.
        over_budget: One sentence for each limit that is exceeded.
    """

    candidate: Candidate
    folder: Path
    model: Model
    names: list[str]
    size_mb: float
    latency: LatencyReport
    memory: MemoryEntry | None
    over_budget: list[str]

    @property
    def inside(self) -> bool:
        """Whether it is inside the budget."""
        return not self.over_budget

    @property
    def entry(self) -> str:
        """Name in the finished artifact of the file that the engine opens."""
        return self.model.file.relative_to(self.folder).as_posix()

    def frontier_entry(self) -> FrontierEntry:
        """Its row of the finished manifest's frontier."""
        return FrontierEntry.of(self.candidate.subnetwork, self.latency, size_mb=self.size_mb, inside=self.inside)


def alternative_files(manifest: Manifest) -> list[str]:
    """Names in an artifact of all files of its alternatives."""
    homes = tuple(f"{_home(other)}/" for other in manifest.alternatives)
    return [name for name in manifest.files if name.startswith(homes)]


def stored_candidates(manifest: Manifest) -> list[Candidate]:
    """The chosen candidate and its alternatives, the largest capacity first."""
    chosen_files = chosen_model_files(manifest)
    found = [Candidate("", manifest.entry, None, chosen_files, manifest.subnetwork, manifest.verification)]
    for other in manifest.alternatives:
        home = _home(other)
        files = tuple(name for name in manifest.files if name.startswith(f"{home}/") and name != other.reference)
        found.append(Candidate(home, other.entry, other.reference, files, other.subnetwork, other.verification))
    return sorted(found, key=lambda one: -one.subnetwork.capacity)


def _home(alternative: AlternativeEntry) -> str:
    """The folder of an alternative in its artifact."""
    return alternative.reference.rpartition("/")[0]
