"""Short runs of the planned training: how long a step takes, and how far a few minutes come."""

from __future__ import annotations

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from prunnet_export.benchmarks.plan._capacities import scores_by_capacity
from prunnet_export.benchmarks.plan._sample import Sample
from prunnet_export.benchmarks.plan._search import Scores
from prunnet_export.datasets import RetrievalData
from prunnet_export.training import (
    Batch,
    Recipe,
    SubnetworkGradients,
    Trainee,
    TrainingBatches,
    new_matching_trainee,
    reestimate_dense_batchnorm,
    take_step,
)

_LOG = logging.getLogger(__name__)
_TIMED = 3  # steps before the trials; the first one is slow and does not count
_RATIO = 4  # steps of the longer trial, over those of the shorter one
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """A short training, with the schedule of a whole one.

    Attributes:
        steps: Number of steps.
        scores: The figures after it, by capacity.
    """

    steps: int
    scores: dict[float, Scores]


@dataclass(frozen=True, eq=False)
class Trials:
    """Two short trainings from the same start.

    Attributes:
        shorter: The shorter one.
        longer: The longer one.
        seconds_per_step: Median of the time of a step of both, with decoding.
    """

    shorter: Trial
    longer: Trial
    seconds_per_step: float


def run_trials(
    sample: Sample,
    data: RetrievalData,
    *,
    weights: Path | None,
    minutes: float,
    device: torch.device,
    workers: int,
    progress: Progress = lambda _done, _steps, _text: None,
) -> Trials:
    """Train on the images of the sample for some minutes, and score the results.

    Args:
        sample: The images and the recipe.
        data: The data set of the sample.
        weights: The file that the backbone starts from.
        minutes: How long to train in both trials together. The longer one takes at least two steps, and at most those
            that are planned.
        device: The device that trains.
        workers: Number of processes that decode.
        progress: Called with the finished steps, all steps and a text.

    Raises:
        InvalidInput: the images do not fill a batch, an image cannot be read, or the loss is not finite.
        UnsupportedPattern: the network cannot be cut like this.
    """
    few = replace(data, train=sample.split)
    classes = int(data.train.labels.max()) + 1
    recipe = sample.recipe
    start = new_matching_trainee(recipe, sample.match, few, classes=classes, device=device, weights=weights)
    batches = _endless(sample, data, workers=workers, device=device)
    timed = _train(recipe, copy.deepcopy(start), batches, _TIMED)[1:]
    both = int(60 * minutes / median(timed))
    longer = max(2, min(sample.steps, both * _RATIO // (_RATIO + 1)))
    shorter = max(1, longer // _RATIO)
    _LOG.info("trials of %d and of %d steps", shorter, longer)
    seconds: list[float] = []

    def trial(trainee: Trainee, steps: int) -> Trial:
        def show(step: int, _steps: int, text: str) -> None:
            progress(before + step, shorter + longer, text)

        before = len(seconds)
        seconds.extend(_train(recipe, trainee, batches, steps, show))
        reestimate_dense_batchnorm(trainee.network, few, recipe, sample.match, device)
        scores = scores_by_capacity(
            trainee.network.cpu().eval(),
            sample.split,
            sample.match.sample,
            sample.search,
            recipe.preprocessing,
            pattern=recipe.patterns[0],
            channel_multiple=recipe.channel_multiple,
        )
        return Trial(steps, scores)

    return Trials(trial(copy.deepcopy(start), shorter), trial(start, longer), median(seconds))


def _train(
    recipe: Recipe,
    trainee: Trainee,
    batches: Iterator[Batch],
    steps: int,
    progress: Progress = lambda _done, _steps, _text: None,
) -> list[float]:
    """Take steps, with the schedule of a run that has so many; returns the seconds of each."""
    gradients, seconds = SubnetworkGradients(recipe, trainee, steps=steps), []
    for step in range(steps):
        started = time.perf_counter()
        metrics = take_step(recipe, trainee.optimizer, gradients, [next(batches)], step=step, steps=steps)
        seconds.append(time.perf_counter() - started)
        progress(step + 1, steps, f"loss {metrics['loss_dense']:.3f}")
    return seconds


def _endless(sample: Sample, data: RetrievalData, *, workers: int, device: torch.device) -> Iterator[Batch]:
    """The batches of one epoch after the other."""
    batches = TrainingBatches(
        sample.split,
        sample.recipe.preprocessing,
        batch_size=sample.recipe.micro_batch,
        seed=sample.recipe.seed,
        flip=data.flip,
        workers=workers,
        targets=sample.match.targets,
    )
    for epoch in itertools.count():
        yield from (batch.to(device) for batch in batches.epoch(epoch))
