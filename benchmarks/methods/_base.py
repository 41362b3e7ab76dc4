"""What a training method is here, and what all methods have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.network import Embedder
from prunnet_export.training import CommonSettings, Gradients, Recipe, TrainingBatches, take_step

FORWARD = 1 / 3  # the cost of a forward pass, in forward and backward passes


class Settings(CommonSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every method of a comparison is given alike; see also :class:`CommonSettings`.

    Attributes:
        steps: Of the optimizer; a method that trains several networks takes as many for each.
        train_capacities: Capacities that are trained, where the method leaves the choice.
        capacities: Capacities that are evaluated beside the dense network.
        max_queries: Query images.
        max_gallery: Gallery images.
    """

    steps: int
    train_capacities: tuple[float, ...]
    capacities: tuple[float, ...]
    max_queries: int
    max_gallery: int

    def recipe(self, seed: int, **changed: Any) -> Recipe:
        """The recipe of a run; the number of epochs in it has no meaning."""
        shared = {name: getattr(self, name) for name in CommonSettings.__struct_fields__}
        return Recipe(**{**shared, "capacities": self.train_capacities, "seed": seed, **changed})


@dataclass(frozen=True)
class Bench:
    """Where methods are compared.

    Attributes:
        settings: What they have in common.
        data: The images.
        folder: Where the dense networks of finished runs are kept.
        progress: Called after every step with what is trained, the steps done and all steps.
    """

    settings: Settings
    data: RetrievalData
    folder: Path
    progress: Callable[[str, int, int], None] = lambda _what, _done, _steps: None

    @property
    def classes(self) -> int:
        """Of the training images."""
        return int(self.data.train.labels.max()) + 1

    def train(self, recipe: Recipe, optimizer: torch.optim.Optimizer, gradients: Gradients, *, what: str) -> float:
        """Take every step of a run: the same batches, steps and learning rates in all methods, for the same seed.

        Args:
            recipe: Seed, batches and learning rates.
            optimizer: Of what is trained.
            gradients: Computes them.
            what: What is trained, for people.

        Returns:
            Seconds spent on steps; decoding images is not counted.

        Raises:
            InvalidInput: too few images for a batch, or a loss is not finite.
        """
        steps, what = self.settings.steps, f"{what}, seed {recipe.seed}"
        batches = TrainingBatches(
            self.data.train, recipe.preprocessing, batch_size=recipe.batch_size, seed=recipe.seed, flip=self.data.flip
        )
        seconds = 0.0
        for step, batch in enumerate(islice(chain.from_iterable(map(batches.epoch, count())), steps)):
            started = time.monotonic()
            try:
                take_step(recipe, optimizer, gradients, [batch], step=step, steps=steps)
            except InvalidInput as error:
                raise InvalidInput(f"{what}: {error.message}", hint=error.hint) from None
            seconds += time.monotonic() - started
            self.progress(what, step + 1, steps)
        return seconds


@dataclass(frozen=True)
class Trained:
    """What a method has made with one seed.

    Attributes:
        dense: The embedder of the gallery.
        queries: Embedders of the queries, by the row of the table and by capacity, below 1. BatchNorm statistics are
            re-estimated before they are used.
        seconds: Spent on training steps, without those of a dense network that another method trains too.
        cost: Forward and backward passes, in those of training the dense network alone; that of the dense network is
            counted.
    """

    dense: Embedder
    queries: Mapping[str, Mapping[float, Embedder]]
    seconds: float
    cost: float


class Method(ABC):
    """A way to train embedders of several capacities.

    Attributes:
        name: What ``--methods`` takes.
    """

    name: str

    def check(self, settings: Settings) -> None:  # noqa: B027  # most methods need nothing
        """Refuse before anything is trained.

        Raises:
            MissingExtra: a package that the method is from is not installed.
        """

    @abstractmethod
    def train(self, bench: Bench, seed: int) -> Trained:
        """Train everything once.

        Raises:
            InvalidInput: a capacity cannot be reached, or the loss is not finite.
            UnsupportedPattern: the backbone cannot be cut like this.
        """
