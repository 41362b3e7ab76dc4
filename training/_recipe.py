"""The recipe: everything that a training run depends on."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export._text import shown
from prunnet_export.network_config import STATISTICS_IMAGES, BackboneOption, DataSource, TeacherKind
from prunnet_export.preprocessing import Preprocessing

Optimizer = Literal["sgd", "adamw"]
Rule = Literal["progressive", "last-conflict", "sum"]
Schedule = Literal["step", "cosine"]
# Without a teacher, from random weights; other runs have other defaults: _optimization.py.
OPTIMIZER: Optimizer = "sgd"
LEARNING_RATE: dict[Optimizer, float] = {"sgd": 0.1, "adamw": 0.004}
SCHEDULE: Schedule = "cosine"
WEIGHT_DECAY: dict[Optimizer, float] = {"sgd": 5e-4, "adamw": 0.05}
_MIN_MICRO_BATCH = 2  # because BatchNorm cannot normalise a single embedding


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that a training run and a comparison of training methods have in common.

    Attributes:
        data: The images.
        preprocessing: How an image becomes an input.
        backbone: A timm architecture, ``resnet18-no-maxpool``, or the backbone of an installed package.
        backbone_options: Keyword arguments of the backbone.
        embedding_dim: Length of the embedding.
        batch_size: Images in a step, of all processes together.
        optimizer: Name of the optimizer; ``sgd`` has momentum 0.9.
        learning_rate: The highest learning rate.
        schedule: Change of the learning rate; ``step`` divides it by 10 at 25, 50 and 75 % of the steps.
        weight_decay: Weight decay of weights and scores.
        channel_multiple: Kept widths are multiples of this.
        random_capacities: Number of additional subnetworks in every step, for each pattern, at random capacities.
        dense_first: Share of the steps, from the start, in which the dense network is trained alone.
        distillation: Weight of the distance to the dense embedding in a subnetwork's loss.
        images_sha256: See :func:`images_digest`; None if it is not known.

    Raises:
        InvalidInput: a number is NaN or infinite, which JSON cannot store.
    """

    data: DataSource
    preprocessing: Preprocessing
    backbone: str = "resnet18"
    backbone_options: dict[str, BackboneOption] = {}
    embedding_dim: int = 256
    batch_size: int = 128
    optimizer: Optimizer = OPTIMIZER
    learning_rate: float = LEARNING_RATE[OPTIMIZER]
    schedule: Schedule = SCHEDULE
    weight_decay: float = WEIGHT_DECAY[OPTIMIZER]
    channel_multiple: int = 8
    random_capacities: int = 0
    dense_first: float = 0.0
    distillation: float = 0.0
    images_sha256: str | None = None

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            values = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, float) and not math.isfinite(one) for one in values):
                raise InvalidInput(f"{field.replace('_', ' ')} {value}", hint="give a finite number")

    def difference(self, other: CommonSettings) -> str | None:
        """The first thing that differs, as ``field = theirs, not ours``; None if all are equal.

        Images are the same ones wherever they lie and however their path is written.
        """
        if not self._has_images_of(other):
            if self.data != other.data:
                return f"the images of {shown(other.data.place)}, not those of {shown(self.data.place)}"
            return f"other images than {shown(self.data.place)} has now"
        for field in self.__struct_fields__:
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs and field not in {"data", "images_sha256"}:
                return f"{field} = {theirs}, not {ours}"
        return None

    def _has_images_of(self, other: CommonSettings) -> bool:
        if self.images_sha256 is not None and other.images_sha256 is not None:
            return self.images_sha256 == other.images_sha256
        return self.data == other.data or self.data.at_place_of(other.data)  # settings of an older version


class MatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The teacher of a run, and what the run learns from it.

    Attributes:
        teacher: Name of its file or architecture, without folders.
        kind: See :class:`TeacherEntry`.
        sha256: SHA-256 of the file of vectors and of names beside it, or of the model and its preprocessing.
        views: Number of versions of each image of which the teacher's vectors are known; see :class:`Targets`.
        label_weight: Weight of the cross-entropy of the class labels; 0 ignores the labels.
    """

    teacher: str
    kind: TeacherKind
    sha256: str
    views: int = 0
    label_weight: float = 0.0


class Recipe(CommonSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training run; see also :class:`CommonSettings`.

    Attributes:
        patterns: Patterns of the subnetworks in a step.
        capacities: Capacities of the subnetworks in every step, for each pattern.
        integration: The way to resolve conflicts between gradients.
        gamma: Exponent of the integration weights; 0.5 for convolutional networks, 1.0 for transformers.
        epochs: Passes over the training images.
        accumulate: Micro-batches of each process in a step; BatchNorm normalises each by itself.
        processes: Number of processes that train together.
        bfloat16: Forward passes are computed in bfloat16; parameters, gradients and their integration stay float32.
        warmup: Share of the steps with a linearly rising learning rate.
        seed: Seed of everything random.
        statistics_images: Number of training images for the re-estimation of BatchNorm statistics.
        match: The teacher, if the run answers a gallery that it does not make.
        weights_sha256: SHA-256 of the file of weights that the backbone starts from; None if it starts at random.
    """

    patterns: tuple[str, ...] = ("channel",)
    capacities: tuple[float, ...] = (0.6, 0.4, 0.2, 0.1, 0.05)
    integration: Rule = "progressive"
    gamma: float = 0.5
    epochs: int = 30
    accumulate: int = 1
    processes: int = 1
    bfloat16: bool = False
    warmup: float = 0.02
    seed: int = 0
    statistics_images: int = STATISTICS_IMAGES
    match: MatchSettings | None = None
    weights_sha256: str | None = None

    @property
    def cuts_channels(self) -> bool:
        """Whether a step trains subnetworks with fewer channels."""
        return any(pattern.startswith("channel") for pattern in self.patterns)

    @property
    def micro_batch(self) -> int:
        """The number of images in one pass of a process.

        Raises:
            InvalidInput: the batch cannot be divided like this.
        """
        parts = self.processes * self.accumulate
        size, rest = divmod(self.batch_size, parts)
        if rest or size < _MIN_MICRO_BATCH:
            raise InvalidInput(
                f"a batch of {self.batch_size} images cannot be divided among {self.processes} process(es) "
                f"with {self.accumulate} micro-batch(es) each",
                hint=f"--batch-size counts all of them: a multiple of {parts}, at least {_MIN_MICRO_BATCH * parts}",
            )
        return size

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step out of ``steps``."""
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = step / steps
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * 0.1 ** math.floor(min(done, 0.9999) * 4)
