"""The best linear map from a student's features to the teacher's vectors: an adapter, for which nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from prunnet_export.benchmarks.plan._sample import Sample, spread_rows
from prunnet_export.benchmarks.plan._search import NEIGHBOURS, Scores
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import inputs_of, topk_overlap
from prunnet_export.network import LinearMap, RidgeSums, build_embedder, load_weights, reestimate_batchnorm
from prunnet_export.training import Recipe

Vectors = npt.NDArray[np.float32]
SCALES = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
"""Factors of the predicted part of a vector, beside the mean. A ridge shrinks this part."""
_LADDER = (125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000)
_POINTS = 5  # of the curve
_SHARE, _MOST = 0.1, 400  # of the images to learn from, to choose the scale with
_NEIGHBOURHOOD = 2000  # vectors to choose the scale among; more would take long and choose the same
_BATCH = 50


@dataclass(frozen=True, eq=False)
class AdapterPoint:
    """A linear map that was fitted to some images.

    Attributes:
        images: Number of images.
        scale: The chosen scale.
        scores: Its figures.
    """

    images: int
    scale: float
    scores: Scores


class Student:
    """The backbone of a recipe, as it is before training.

    Args:
        recipe: The recipe.
        weights: The file that the backbone starts from; None for random weights.
        images: Inputs for the BatchNorm statistics of random weights.
    """

    def __init__(self, recipe: Recipe, weights: Path | None, split: ImageSplit) -> None:
        torch.manual_seed(recipe.seed)
        self._preprocessing = recipe.preprocessing
        self._embedder = build_embedder(
            recipe.backbone, dim=2, preprocessing=recipe.preprocessing, options=recipe.backbone_options
        )
        if weights is not None:
            load_weights(self._embedder, weights)
        else:
            chosen = np.arange(0, len(split), max(1, len(split) // _BATCH))
            inputs = inputs_of(split, chosen, recipe.preprocessing)
            reestimate_batchnorm(self._embedder, map(torch.from_numpy, inputs))
        self._embedder.eval()

    def features(self, split: ImageSplit) -> Vectors:
        """The pooled features float32 [n, f] of all images of a split."""
        with torch.inference_mode():
            parts = [
                self._embedder.features(part).numpy()
                for batch in inputs_of(split, range(len(split)), self._preprocessing)
                for part in torch.split(torch.from_numpy(batch), _BATCH)
            ]
        joined: Vectors = np.concatenate(parts)
        return joined


def adapter_curve(sample: Sample, features: Vectors, queries: Vectors) -> list[AdapterPoint]:
    """Linear maps that are fitted to more and more images, from few to all of the sample.

    Args:
        sample: The images and their vectors.
        features: The student's features of the sample, float32 [n, f].
        queries: Its features of the queries, float32 [k, f].
    """
    rows = spread_rows(sample.match.targets.rows)
    held = min(_MOST, int(_SHARE * len(rows)))
    validation, rows = rows[:held], rows[held:]
    points, sums, done = [], RidgeSums(), 0
    for size in curve_sizes(len(rows)):
        added = rows[done:size]
        sums.add(torch.from_numpy(features[added]), torch.from_numpy(sample.vectors[added]))
        done = size
        fitted, mean = sums.solve(), sample.vectors[rows[:size]].mean(0)
        predict = partial(scaled, fitted, mean, features[validation])
        scale = _best_scale(predict, sample.vectors[validation], sample.vectors[rows[: min(size, _NEIGHBOURHOOD)]])
        points.append(AdapterPoint(size, scale, sample.search.score(scaled(fitted, mean, queries, scale))))
    return points


def curve_sizes(count: int) -> list[int]:
    """At most five numbers of images, the last one is ``count``, and each is well above the one before."""
    steps = [size for size in _LADDER if size <= 0.75 * count]
    return [*steps[1 - _POINTS :], count]


def scaled(fitted: LinearMap, mean: Vectors, features: Vectors, scale: float) -> Vectors:
    """Mean + scale (prediction - mean), float32 [n, d]."""
    predicted = fitted(torch.from_numpy(features)).numpy()
    found: Vectors = (mean + scale * (predicted - mean)).astype(np.float32)
    return found


def _best_scale(predict: Callable[[float], Vectors], wanted: Vectors, gallery: Vectors) -> float:
    """The scale with the largest overlap, on images that the map was not fitted to. No label is used.

    Args:
        predict: The predictions [n, d] of these images for a scale.
        wanted: Their vectors [n, d].
        gallery: The vectors [m, d] of other images.
    """
    if not len(wanted) or len(gallery) < NEIGHBOURS:
        return SCALES[0]
    return max(SCALES, key=lambda scale: float(topk_overlap(predict(scale), wanted, gallery, k=NEIGHBOURS).mean()))


def values_of(points: Sequence[AdapterPoint]) -> npt.NDArray[np.float64]:
    """The values that are held against the gate: a row for each query, a column for each point."""
    return np.stack([point.scores.main for point in points], axis=1)
