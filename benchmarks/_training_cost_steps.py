"""The two things whose cost is compared: a step of the recipe, and plain forward/backward passes of its backbone."""

from __future__ import annotations

import itertools

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.network import build_embedder
from prunnet_export.network_config import BackboneOption, DataSource
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training._draw import draw_subnetworks
from prunnet_export.training._integration import ConflictAware
from prunnet_export.training._loop import new_trainee
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._step import GradientStep

CLASSES = 256
# Small, as random labels are not to be learned and no number is to overflow.
_LEARNING_RATE = 1e-3


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is trained.

    Attributes:
        backbone: A timm architecture.
        backbone_options: Its keyword arguments.
        image_size: Side of the images, pixels.
        batch: Images in a step.
        capacities: Of the subnetworks in a step.
        threads: Of torch; None leaves them to torch.
    """

    backbone: str
    backbone_options: dict[str, BackboneOption]
    image_size: int
    batch: int
    capacities: tuple[float, ...]
    threads: int | None

    def recipe(self, pattern: str) -> Recipe:
        """The default recipe with these."""
        return Recipe(
            data=DataSource(source="random"),
            preprocessing=self.preprocessing,
            backbone=self.backbone,
            backbone_options=self.backbone_options,
            patterns=(pattern,),
            capacities=self.capacities,
            batch_size=self.batch,
            learning_rate=_LEARNING_RATE,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """Images as they come."""
        return Preprocessing(crop=self.image_size, resize=self.image_size)

    @property
    def images(self) -> tuple[Tensor, Tensor]:
        """A random batch: float32 [batch, 3, image_size, image_size] in 0..1, and labels int64 [batch]."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(self.batch, 3, self.image_size, self.image_size, generator=generator)
        return pixels, torch.randint(CLASSES, (self.batch,), generator=generator)


class RecipeStep:
    """Calling it takes a whole training step: masks or widths, all passes, integration, clipping, optimizer.

    Args:
        settings: What is trained.
        pattern: Of the subnetworks.

    Raises:
        UnknownName: no such backbone or pattern.
        InvalidInput: the backbone does not take the images or options, or a capacity cannot be reached.
    """

    def __init__(self, settings: Settings, pattern: str) -> None:
        images, labels = settings.images
        # As the loader of a training run lays them out.
        self._batch = images.contiguous(memory_format=torch.channels_last), labels
        self._recipe = settings.recipe(pattern)
        self._trainee = new_trainee(self._recipe, classes=CLASSES, device=torch.device("cpu"))
        self._trainee.network.train()
        integration = ConflictAware(self._recipe.integration, self._recipe.gamma)
        self._gradients = GradientStep(self._trainee.network, self._trainee.classifier, integration)
        self._numbers = itertools.count()

    def __call__(self) -> None:
        """One step."""
        step = next(self._numbers)
        subnetworks = draw_subnetworks(self._recipe, self._trainee.network, step=step, steps=step + 1)
        self._gradients(subnetworks, [self._batch], generator=torch.Generator().manual_seed(step))
        self._trainee.optimizer.step()


class PlainPasses:
    """Calling it makes forward/backward passes of the bare backbone with a linear classifier on its pooled output.

    Images lie in memory as torch lays them out by default.

    Args:
        settings: What is trained; the capacities say how many passes: one for each, and one for the dense network.

    Raises:
        UnknownName: no such backbone.
        InvalidInput: the backbone does not take the images or options.
    """

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(0)
        embedder = build_embedder(
            settings.backbone, dim=2, preprocessing=settings.preprocessing, options=settings.backbone_options
        )
        self.count = len(settings.capacities) + 1
        self._images, self._labels = settings.images
        self._backbone, self._classifier = embedder.backbone, nn.Linear(embedder.projector.in_features, CLASSES)
        parameters = [*self._backbone.parameters(), *self._classifier.parameters()]
        self._optimizer = torch.optim.SGD(parameters, lr=_LEARNING_RATE, momentum=0.9, weight_decay=5e-4)

    def __call__(self) -> None:
        """As many passes as a step has networks."""
        for _ in range(self.count):
            self._optimizer.zero_grad()
            features: Tensor = self._backbone(self._images)
            if features.ndim > 2:  # noqa: PLR2004  # [b, f, h, w]
                features = features.mean((2, 3))
            torch.autograd.backward(F.cross_entropy(self._classifier(features), self._labels))

    def update(self) -> None:
        """The optimizer's step."""
        self._optimizer.step()
