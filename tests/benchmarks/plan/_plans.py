"""Class folders of small images with a teacher's vectors, and synthetic measured runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export.benchmarks.plan._runs import Figures, MeasuredRun, RunCell
from prunnet_export.datasets import open_dataset
from prunnet_export.training import MatchOptions
from tests._inputs import array_split

CAPACITIES = (1.0, 0.6, 0.4, 0.2, 0.1)
OPTIONS = MatchOptions(
    match="m", teacher_names=None, teacher_settings=None, teacher_options={}, views=0, label_weight=0.0
)
"""The options of a teacher that needs none."""


def write_images(root: Path, *, classes: int = 8, per_class: int = 10) -> Path:
    """``train``, ``query`` and ``gallery`` with a colour for each class."""
    for seed, (split, count) in enumerate((("train", per_class), ("query", 3), ("gallery", 4))):
        pixels = array_split(classes * count, classes=classes, side=32, seed=seed)
        for index, label in enumerate(pixels.labels):
            file = root / split / f"class-{label}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels.image(index).save(file)
    return root


def write_vectors(file: Path, images: Path, *, splits: tuple[str, ...] = ("train", "query", "gallery")) -> Path:
    """Vectors with a common mean: the brightness of 4 x 4 pixels, and what is missing to white."""
    data = open_dataset(str(images))
    names, vectors = [], []
    for split in splits:
        one = getattr(data, split)
        names += list(one.relative_names)
        vectors += [np.asarray(one.image(row).resize((4, 4)), np.float32).ravel() / 255 for row in range(len(one))]
    pixels = np.stack(vectors)
    np.savez(file, names=np.array(names), embeddings=np.concatenate([pixels, 1 - pixels], axis=1))
    return file


def share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def synthetic_runs(
    pairs: int = 6, *, noise: float = 0.0, with_labels: bool = True, per_pair: int = 2
) -> list[MeasuredRun]:
    """Runs that follow the law that a fit assumes, with another level for each pair of teacher and data."""
    draw = np.random.default_rng(0)
    return [
        synthetic_run(f"teacher-{pair}", draw, noise=noise, with_labels=with_labels)
        for pair in range(pairs)
        for _ in range(per_pair)
    ]


def synthetic_run(teacher: str, draw: np.random.Generator, *, noise: float, with_labels: bool) -> MeasuredRun:
    self_test, adapter, start = draw.uniform(0.7, 0.95), draw.uniform(-2, 1), draw.uniform(-3, -1)
    shorter_steps, factor, slope = int(draw.integers(10, 40)), int(draw.integers(4, 60)), draw.uniform(0.5, 2)
    longer_steps = 4 * shorter_steps
    cells = []
    for capacity in CAPACITIES:
        longer = start + math.log10(capacity)
        gain = math.log10(factor) * 0.8 * slope
        cells.append(
            RunCell(
                capacity=capacity,
                shorter=figures(longer - math.log10(4) * slope, self_test, with_labels=with_labels),
                longer=figures(longer, self_test, with_labels=with_labels),
                measured=figures(longer + gain + draw.normal(0, noise), self_test, with_labels=with_labels),
            )
        )
    return MeasuredRun(
        teacher=teacher,
        data="images",
        backbone="resnet18",
        weights=False,
        crop_px=64,
        images=10_000,
        sampled=8_000,
        steps=longer_steps * factor,
        batch_size=64,
        shorter_steps=shorter_steps,
        longer_steps=longer_steps,
        n_queries=1000,
        n_gallery=2000,
        self_test=self_test if with_labels else None,
        adapter=figures(adapter, self_test, with_labels=with_labels),
        adapter_measured=figures(adapter, self_test, with_labels=with_labels),
        cells=cells,
    )


def figures(logit: float, self_test: float, *, with_labels: bool) -> Figures:
    """Figures whose share of the teacher's own has this logit."""
    return Figures(recall=share(logit) * self_test if with_labels else None, overlap=share(logit))


def unit(rows: int, dim: int, *, seed: int = 0, mean: float = 0.0) -> npt.NDArray[np.float32]:
    """Random unit vectors float32 [rows, dim]."""
    found = np.random.default_rng(seed).normal(mean, 1, (rows, dim))
    rows_of_length_1: npt.NDArray[np.float32] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(
        np.float32
    )
    return rows_of_length_1
