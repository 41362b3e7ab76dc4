"""Candidates: what could be deployed, before and after it is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from prunnet_export.patterns import Subnetwork
from prunnet_export.prediction import Workload
from prunnet_export.runtimes import Model


@dataclass(frozen=True)
class Candidate:
    """A subnetwork in a precision.

    Attributes:
        subnetwork: What is cut.
        precision: What the runtime executes in.
    """

    subnetwork: Subnetwork
    precision: str

    @property
    def pattern(self) -> str:
        """The shape that its zeros take."""
        return self.subnetwork.pattern

    @property
    def capacity(self) -> float:
        """Kept fraction of the prunable weights."""
        return self.subnetwork.capacity

    def __str__(self) -> str:
        return f"{self.pattern} {self.capacity:.1%} {self.precision}"


@dataclass(frozen=True)
class Build:
    """A compiled candidate.

    Attributes:
        candidate: What it is.
        runtime: Name of the engine.
        folder: Where its files are.
        names: Names of those that are deployed; the runtime opens the first.
        workload: What it asks of a machine.
    """

    candidate: Candidate
    runtime: str
    folder: Path
    names: tuple[str, ...]
    workload: Workload

    @property
    def model(self) -> Model:
        """The model as its runtime runs it."""
        return Model(self.folder / self.names[0], self.runtime, self.candidate.precision)

    @property
    def size_mb(self) -> float:
        """All files that are deployed, in 10^6 bytes."""
        return sum((self.folder / name).stat().st_size for name in self.names) / 1e6

    def copy_to(self, folder: Path) -> None:
        """Copy what is deployed.

        Raises:
            OSError: the disk is full.
        """
        for name in self.names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(self.folder / name, folder / name)
