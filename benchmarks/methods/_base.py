"""What a training method is here, and what all methods have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from prunnet_export.datasets import RetrievalData
from prunnet_export.network import Embedder
from prunnet_export.network_config import BackboneOption, DataSource
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training._recipe import Optimizer, Recipe, Schedule, check_finite

FORWARD = 1 / 3  # the cost of a forward pass, in forward and backward passes


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every method of a comparison is given alike.

    Attributes:
        data: The images.
        preprocessing: How an image becomes an input.
        backbone: A timm architecture.
        backbone_options: Its keyword arguments.
        embedding_dim: Length of the embedding.
        steps: Of the optimizer; a method that trains several networks takes as many for each.
        batch_size: Images in a step.
        optimizer: ``sgd`` has momentum 0.9.
        learning_rate: At its highest.
        schedule: How it falls.
        weight_decay: On every parameter.
        channel_multiple: Kept widths are multiples of this.
        train_capacities: Capacities that are trained, where the method leaves the choice.
        random_capacities: Subnetworks more in every step, at random capacities, where the method has them.
        dense_first: Share of the steps in which the dense network trains alone, where the method has them.
        distillation: Weight of the distance to the dense embedding, where the method leaves the choice.
        capacities: Capacities that are evaluated beside the dense network.
        max_queries: Query images.
        max_gallery: Gallery images.
    """

    data: DataSource
    preprocessing: Preprocessing
    backbone: str
    backbone_options: dict[str, BackboneOption]
    embedding_dim: int
    steps: int
    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    weight_decay: float
    channel_multiple: int
    train_capacities: tuple[float, ...]
    random_capacities: int
    dense_first: float
    distillation: float
    capacities: tuple[float, ...]
    max_queries: int
    max_gallery: int

    def __post_init__(self) -> None:
        check_finite(self)

    def recipe(self, seed: int, **changed: Any) -> Recipe:
        """The recipe of a run; the number of epochs in it has no meaning."""
        fields: dict[str, Any] = {
            "data": self.data,
            "preprocessing": self.preprocessing,
            "backbone": self.backbone,
            "backbone_options": self.backbone_options,
            "embedding_dim": self.embedding_dim,
            "capacities": self.train_capacities,
            "random_capacities": self.random_capacities,
            "dense_first": self.dense_first,
            "distillation": self.distillation,
            "channel_multiple": self.channel_multiple,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "schedule": self.schedule,
            "weight_decay": self.weight_decay,
            "seed": seed,
        }
        return Recipe(**{**fields, **changed})


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

    name: ClassVar[str]

    def check(self) -> None:  # noqa: B027  # most methods need nothing
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
