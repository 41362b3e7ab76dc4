"""The candidates that travelled in an artifact, and what the device makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from prunnet_export.artifact import (
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
    """A candidate that travelled: the chosen one, or an alternative.

    Attributes:
        home: The alternative's folder in the artifact; empty for the chosen one.
        entry: The file that the engine opens, as the artifact names it.
        embeddings: The file of its torch embeddings; None for the chosen one, whose embeddings the reference holds.
        files: Its files, as the artifact names them.
        subnetwork: What was cut.
        verification: What came out on the host.
    """

    home: str
    entry: str
    embeddings: str | None
    files: tuple[str, ...]
    subnetwork: SubnetworkEntry
    verification: VerificationEntry

    def within(self, name: str) -> str:
        """A file's name once the candidate is the chosen one."""
        return name.removeprefix(f"{self.home}/") if self.home else name

    def copy_to(self, folder: Path, artifact: Path) -> list[str]:
        """Copy the candidate's files out of the artifact; their names there."""
        names = [self.within(name) for name in self.files]
        copy_files({artifact / source: folder / name for source, name in zip(self.files, names, strict=True)})
        return names


@dataclass(frozen=True)
class MeasuredCandidate:
    """A candidate that was built and measured on the device.

    Attributes:
        candidate: What it is.
        folder: Where it was built.
        model: What the engine opens there.
        names: All files that travel on, by their names in the folder.
        size_mb: Of what the engine opens, in 10^6 bytes: a graph that an engine was built from is not counted.
        latency: Measured.
        memory: Measured.
        over_budget: One sentence for each limit that does not hold.
    """

    candidate: Candidate
    folder: Path
    model: Model
    names: list[str]
    size_mb: float
    latency: LatencyReport
    memory: MemoryEntry
    over_budget: list[str]

    @property
    def inside(self) -> bool:
        """Whether it is inside the budget."""
        return not self.over_budget

    @property
    def entry(self) -> str:
        """What the engine opens first, as the finished artifact names it."""
        return self.model.file.relative_to(self.folder).as_posix()

    def frontier_entry(self) -> FrontierEntry:
        """Its row of the finished manifest's frontier."""
        return FrontierEntry.of(self.candidate.subnetwork, self.latency, size_mb=self.size_mb, inside=self.inside)


def travelling_candidates(manifest: Manifest) -> list[Candidate]:
    """The chosen candidate and its alternatives, the largest capacity first."""
    chosen_files = chosen_model_files(manifest)
    found = [Candidate("", manifest.entry, None, chosen_files, manifest.subnetwork, manifest.verification)]
    for other in manifest.alternatives:
        home = other.reference.rpartition("/")[0]
        files = tuple(name for name in manifest.files if name.startswith(f"{home}/") and name != other.reference)
        found.append(Candidate(home, other.entry, other.reference, files, other.subnetwork, other.verification))
    return sorted(found, key=lambda one: -one.subnetwork.capacity)


def copy_files(places: dict[Path, Path]) -> None:
    """Copy files to new places, whose folders are made.

    Raises:
        OSError: a file cannot be read or written.
    """
    for source, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, place)
