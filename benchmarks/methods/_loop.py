"""The loop that all methods are trained in: the same batches, steps and learning rates for the same seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import chain, count, islice

import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.methods._base import Bench
from prunnet_export.training._batches import Batch, TrainingBatches
from prunnet_export.training._recipe import Recipe

Step = Callable[[Batch, int, torch.Generator], float]


def train_steps(bench: Bench, recipe: Recipe, optimizer: torch.optim.Optimizer, step: Step, *, what: str) -> float:
    """Take every step of a run.

    Args:
        bench: The images, and how many steps.
        recipe: Seed, batches and learning rates.
        optimizer: Of what is trained.
        step: Given a batch, the number of the step and a generator for what is random, writes gradients and gives
            the loss.
        what: What is trained, for people.

    Returns:
        Seconds spent on steps; decoding images is not counted.

    Raises:
        InvalidInput: too few images for a batch, or the loss is not finite.
    """
    steps, what = bench.settings.steps, f"{what}, seed {recipe.seed}"
    batches = TrainingBatches(
        bench.data.train,
        recipe.preprocessing,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        flip=bench.data.flip,
    )
    seconds = 0.0
    for index, batch in enumerate(islice(chain.from_iterable(map(batches.epoch, count())), steps)):
        seed = recipe.seed * 1_000_003 + index
        torch.manual_seed(seed)  # for backbones that drop out
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(index, steps)
        started = time.monotonic()
        loss = step(batch, index, torch.Generator().manual_seed(seed))
        if not math.isfinite(loss):
            raise InvalidInput(f"{what}: the loss is not finite at step {index}", hint="lower --learning-rate")
        optimizer.step()
        seconds += time.monotonic() - started
        bench.progress(what, index + 1, steps)
    return seconds
