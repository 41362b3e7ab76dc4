"""Vectors like those of image networks, and what may have happened to a gallery of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
DIM = 192
LATENT = 24


def features(model: int, images: int, count: int = 300, *, mean: bool = True) -> Rows:
    """Unit vectors of a model: few latent directions, ReLU, pooled over places, images in classes.

    Args:
        model: Seed of the weights.
        images: Seed of the images; another seed has other classes of the same kind.
        count: How many images.
        mean: Whether the vectors share a mean, as after ReLU; else a linear layer follows that has none.
    """
    weights, draw = np.random.default_rng(model), np.random.default_rng(images)
    scale = np.exp(weights.normal(size=LATENT) / 2)
    classes = draw.normal(size=(20, LATENT))
    latent = classes[draw.integers(0, 20, count)] + 0.6 * draw.normal(size=(count, LATENT))
    places = latent[:, None] + 0.8 * draw.normal(size=(count, 4, LATENT))
    matrix = weights.normal(size=(LATENT, DIM)) / np.sqrt(LATENT)
    rows = np.maximum((places * scale) @ matrix + 0.3 * weights.normal(size=DIM), 0).mean(1)
    if not mean:
        rows = (rows - rows.mean()) @ weights.normal(size=(DIM, DIM))
        rows -= rows.mean(0)
    return unit(rows)


def unit(rows: npt.NDArray[np.floating]) -> Rows:
    """Rows of length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def as_int8(rows: Rows) -> Rows:
    """Rows that were stored as int8 codes."""
    return np.asarray(np.round(rows * 127) / 127, np.float32)


def as_float16(rows: Rows) -> Rows:
    """Rows that were stored as float16."""
    return rows.astype(np.float16).astype(np.float32)


def as_bits(rows: Rows) -> Rows:
    """Rows that were stored as binary codes."""
    return np.where(rows > 0, 1, -1).astype(np.float32)


def permuted_dimensions(rows: Rows) -> Rows:
    return rows[:, np.random.default_rng(9).permutation(rows.shape[1])]


def without_mean(rows: Rows) -> Rows:
    return unit(rows - rows.mean(0))


def whitened(rows: Rows) -> Rows:
    centred = rows - rows.mean(0)
    return unit(centred * np.exp(np.random.default_rng(9).normal(size=rows.shape[1])))


def rotated(rows: Rows) -> Rows:
    size = rows.shape[1]
    return np.asarray(rows @ np.linalg.qr(np.random.default_rng(9).normal(size=(size, size)))[0], np.float32)


def flipped(rows: Rows) -> Rows:
    return -rows


def shuffled(rows: Rows) -> Rows:
    return rows[np.random.default_rng(9).permutation(len(rows))]


def some_signs_flipped(rows: Rows) -> Rows:
    return rows * np.where(np.arange(rows.shape[1]) % 4 == 0, -1, 1).astype(np.float32)


def preprocessed_otherwise(rows: Rows) -> Rows:
    """Each vector moves a little way of its own, and all move one way."""
    draw = np.random.default_rng(9)
    noise = draw.normal(size=rows.shape) + draw.normal(size=rows.shape[1])
    return unit(np.maximum(rows + 0.6 * rows.std() * noise, 0))


Change = Callable[[Rows], Rows]
