"""The interface of a training method, and the training loop of all methods."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal

import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.network import Embedder
from prunnet_export.training import (
    CommonSettings,
    Gradients,
    MatchSettings,
    Recipe,
    Targets,
    TrainingBatches,
    take_step,
)

FORWARD = 1 / 3  # the cost of a forward pass, as a fraction of a forward and backward pass


class Settings(CommonSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that are equal for all methods of a comparison; see also :class:`CommonSettings`.

    Attributes:
        steps: Number of optimizer steps, for each network that a method trains.
        train_capacities: Capacities that are trained, if the method lets you choose.
        capacities: Capacities that are evaluated, in addition to the dense network.
        max_queries: Largest number of query images.
        max_gallery: Largest number of gallery images.
        student_capacities: Capacities of methods with one network for each capacity; None takes ``train_capacities``.
        match: The teacher whose gallery the queries search; None if each method makes a gallery of its own.
        widths: How channel cuts of random weights are made. Files of older versions do not say it; theirs are taken
            for uniform. In new networks they follow from costs and the rank that embeddings need; see
            :func:`prunnet_export.patterns.allocate_by_cost`.
    """

    steps: int
    train_capacities: tuple[float, ...]
    capacities: tuple[float, ...]
    max_queries: int
    max_gallery: int
    student_capacities: tuple[float, ...] | None = None
    match: MatchSettings | None = None
    widths: Literal["uniform", "by cost", "by cost and rank"] = "uniform"

    @property
    def students(self) -> tuple[float, ...]:
        """The capacities of methods with one network for each capacity. All of them are evaluated."""
        chosen = self.train_capacities if self.student_capacities is None else self.student_capacities
        return tuple(capacity for capacity in chosen if capacity in self.capacities)

    def recipe(self, seed: int, **changed: Any) -> Recipe:
        """The recipe of a run. Its number of epochs is not used."""
        shared = {name: getattr(self, name) for name in CommonSettings.__struct_fields__}
        own = {"capacities": self.train_capacities, "match": self.match, "seed": seed}
        return Recipe(**{**shared, **own, **changed})


@dataclass(frozen=True)
class Bench:
    """The place where methods are compared.

    Attributes:
        settings: The settings of all methods.
        data: The images.
        folder: The folder that keeps the trained dense networks.
        progress: Called after every step with the name of the run, the finished steps and all steps.
    """

    settings: Settings
    data: RetrievalData
    folder: Path
    progress: Callable[[str, int, int], None] = lambda _what, _done, _steps: None

    @property
    def classes(self) -> int:
        """The number of classes of the training images."""
        return int(self.data.train.labels.max()) + 1

    def train(
        self,
        recipe: Recipe,
        optimizer: torch.optim.Optimizer,
        gradients: Gradients,
        *,
        what: str,
        targets: Targets | None = None,
        steps: int | None = None,
    ) -> float:
        """Take all steps of a run. With the same seed all methods have the same batches, steps and learning rates.

        Args:
            recipe: The recipe.
            optimizer: The optimizer of all trained parameters.
            gradients: The function that computes the gradients.
            what: Name of the trained network, for messages.
            targets: The teacher's vectors of the images, if the run learns from them.
            steps: Number of steps; None takes that of the settings.

        Returns:
            The seconds of all steps, without the decoding of images.

        Raises:
            InvalidInput: too few images for a batch, or a loss is not finite.
        """
        steps, what = steps or self.settings.steps, f"{what}, seed {recipe.seed}"
        batches = TrainingBatches(
            self.data.train,
            recipe.preprocessing,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            flip=self.data.flip,
            targets=targets,
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
    """The networks that a method has trained with one seed.

    Attributes:
        dense: The embedder of the gallery.
        queries: Embedders of the queries, by the row of the table and by capacity, below 1. Their BatchNorm statistics
            are re-estimated later.
        seconds: Time of the training steps, without those of a dense network that other methods use too.
        cost: Forward and backward passes, including those of the dense network, as a multiple of those in a training of
            the dense network alone.
    """

    dense: Embedder
    queries: Mapping[str, Mapping[float, Embedder]]
    seconds: float
    cost: float


class Method(ABC):
    """A way to train embedders of several capacities.

    Attributes:
        name: The name for ``--methods``.
    """

    name: str

    def check(self, settings: Settings) -> None:  # noqa: B027  # most methods need no check
        """Check before the training that the method can run.

        Raises:
            MissingExtra: a package that the method needs is not installed.
        """

    @abstractmethod
    def train(self, bench: Bench, seed: int) -> Trained:
        """Train all networks of the method with one seed.

        Raises:
            InvalidInput: a capacity cannot be reached, or the loss is not finite.
            UnsupportedPattern: the backbone cannot be cut like this.
        """
