"""The files that the tests on Arm use: artifacts, images, and the vectors that this machine computes.

Run: ``python -m tests.arm._files FOLDER``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import prunnet_export
from prunnet_export.datasets import open_dataset

IMAGES = 64
VECTORS = "x86.npy"


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: its target and precision, and the size that it may have."""

    target: str
    precision: str
    budget_mb: float = 0.5

    def __str__(self) -> str:
        return f"{self.target}-{self.precision}"


KINDS = (
    Kind("raspberry-pi-4", "fp32", 1.5),
    Kind("raspberry-pi-4", "int8"),
    Kind("android", "fp32", 1.5),
    Kind("raspberry-pi-4-litert", "fp32", 1.5),
    Kind("raspberry-pi-4-litert", "int8"),
)


def prepare(folder: Path, kinds: Sequence[Kind] = KINDS) -> None:
    """Write one artifact of each kind, the images, and the vectors float32 [images, d] of each artifact."""
    images = _write_images(folder / "images")
    for kind in kinds:
        export(kind, folder / str(kind), "--device", "predicted")
        np.save(folder / f"{kind}-{VECTORS}", prunnet_export.load(folder / str(kind), threads=1).embed(images))


def export(kind: Kind, out: Path, *words: str, environment: dict[str, str] | None = None) -> str:
    """Export an artifact of this kind; returns what the command wrote to both outputs."""
    command = [
        *(str(Path(sys.executable).with_name("prunnet-export")), "--target", kind.target, "--data", "glyphs"),
        *("--precision", kind.precision, "--budget-mb", f"{kind.budget_mb:g}", "--threads", "1"),
        *("--max-queries", "100", "--max-gallery", "300", "--out", str(out), *words),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def images_of(folder: Path) -> list[Path]:
    """The images in a folder that :func:`prepare` wrote."""
    return sorted((folder / "images").glob("*.png"))


def vectors_of(folder: Path, kind: Kind) -> npt.NDArray[np.float32]:
    """The vectors float32 [images, d] of an artifact, by the machine that prepared the folder."""
    vectors: npt.NDArray[np.float32] = np.load(folder / f"{kind}-{VECTORS}", allow_pickle=False)
    return vectors


def _write_images(folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    split = open_dataset("glyphs").query
    files = [folder / f"{index:03}.png" for index in range(IMAGES)]
    for index, file in enumerate(files):
        split.image(index).save(file)
    return files


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).absolute())
