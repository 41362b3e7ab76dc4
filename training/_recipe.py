"""Everything that a training run depends on, readable and comparable."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export.network_config import STATISTICS_IMAGES, BackboneOption, DataSource
from prunnet_export.preprocessing import Preprocessing

Optimizer = Literal["sgd", "adamw"]
Rule = Literal["progressive", "last-conflict", "sum"]
Schedule = Literal["step", "cosine"]
_FEWEST = 2  # BatchNorm cannot normalise a single embedding


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training run and a comparison of training methods both say.

    Attributes:
        data: The images.
        preprocessing: How an image becomes an input.
        backbone: A timm architecture, or ``resnet18-no-maxpool``.
        backbone_options: Its keyword arguments.
        embedding_dim: Length of the embedding.
        batch_size: Images in a step, of all processes together.
        optimizer: ``sgd`` has momentum 0.9.
        learning_rate: At its highest.
        schedule: ``step`` divides by 10 at 25, 50 and 75 % of the steps.
        weight_decay: On weights and scores.
        channel_multiple: Kept widths are multiples of this.
        random_capacities: Subnetworks more in every step, for each pattern, at random capacities between.
        dense_first: Share of the steps, the first ones, in which the dense network trains alone.
        distillation: Weight of the distance to the dense embedding in a subnetwork's loss.

    Raises:
        InvalidInput: a number is NaN or infinite, which a command line can say and JSON cannot.
    """

    data: DataSource
    preprocessing: Preprocessing
    backbone: str = "resnet18"
    backbone_options: dict[str, BackboneOption] = {}
    embedding_dim: int = 256
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    schedule: Schedule = "step"
    weight_decay: float = 5e-4
    channel_multiple: int = 8
    random_capacities: int = 0
    dense_first: float = 0.0
    distillation: float = 0.0

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            values = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, float) and not math.isfinite(one) for one in values):
                raise InvalidInput(f"{field.replace('_', ' ')} {value}", hint="give a finite number")

    def difference(self, other: CommonSettings) -> str | None:
        """The first field that differs, as ``field = theirs, not ours``; None where all are equal."""
        for field in self.__struct_fields__:
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                return f"{field} = {theirs}, not {ours}"
        return None


class Recipe(CommonSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training run; see also :class:`CommonSettings`.

    Attributes:
        patterns: Patterns of the subnetworks in a step.
        capacities: Capacities of the subnetworks in every step, for each pattern.
        integration: How conflicts between gradients are resolved.
        gamma: Exponent of the integration weights; 0.5 for convolutional networks, 1.0 for transformers.
        epochs: Passes over the training images.
        accumulate: Micro-batches that each process divides its part into; BatchNorm sees one at a time.
        processes: How many train together.
        bfloat16: Forward passes are computed in bfloat16; parameters, gradients and their integration stay float32.
        warmup: Share of the steps with a linearly rising learning rate.
        seed: Of everything random.
        statistics_images: Training images that BatchNorm statistics are re-estimated on.
    """

    patterns: tuple[str, ...] = ("channel",)
    capacities: tuple[float, ...] = (0.8, 0.6, 0.4, 0.2)
    integration: Rule = "progressive"
    gamma: float = 0.5
    epochs: int = 30
    accumulate: int = 1
    processes: int = 1
    bfloat16: bool = False
    warmup: float = 0.02
    seed: int = 0
    statistics_images: int = STATISTICS_IMAGES

    @property
    def micro_batch(self) -> int:
        """Images that a process passes through the networks at once.

        Raises:
            InvalidInput: the batch cannot be divided like this.
        """
        parts = self.processes * self.accumulate
        size, rest = divmod(self.batch_size, parts)
        if rest or size < _FEWEST:
            raise InvalidInput(
                f"a batch of {self.batch_size} images cannot be divided among {self.processes} process(es) "
                f"with {self.accumulate} micro-batch(es) each",
                hint=f"--batch-size counts all of them: a multiple of {parts}, at least {_FEWEST * parts}",
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
