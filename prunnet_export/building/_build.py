"""Candidates for an artifact, before and after they are compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from prunnet_export._files import copy_files
from prunnet_export.patterns import Subnetwork
from prunnet_export.prediction import Workload
from prunnet_export.runtimes import FloatLayers, Model


@dataclass(frozen=True)
class Candidate:
    """A subnetwork, and the name of the precision that the runtime executes it in."""

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
        candidate: The candidate.
        runtime: Name of the engine.
        folder: Folder of its files.
        names: Names of the files that are deployed. The runtime opens the first.
        size_mb: Size of all files that are deployed, in 10^6 bytes.
        workload: Multiply-adds, weights and activations of its layers.
        float_layers: Layers that INT8 left in float.
    """

    candidate: Candidate
    runtime: str
    folder: Path
    names: tuple[str, ...]
    size_mb: float
    workload: Workload
    float_layers: FloatLayers = field(default_factory=FloatLayers)

    @property
    def model(self) -> Model:
        """The model for its runtime."""
        files = tuple(self.folder / name for name in self.names)
        return Model(files[0], self.runtime, self.candidate.precision, files)

    def copy_to(self, folder: Path) -> None:
        """Copy the files that are deployed; raises OSError if the disk is full."""
        copy_files({self.folder / name: folder / name for name in self.names}, inside=folder)
