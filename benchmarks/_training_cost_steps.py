"""The two workloads of ``training-cost``: a step of the recipe, and plain forward/backward passes of its backbone."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.network import build_embedder
from prunnet_export.patterns import multiplications
from prunnet_export.training import Batch, Recipe, SubnetworkGradients, new_optimizer, new_trainee, take_step

CLASSES = 256
STEPS = 100_000  # more than are ever taken


def random_batch(recipe: Recipe) -> Batch:
    """Images float32 [b, 3, h, w] in 0..1, and labels int64 [b]."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(recipe.batch_size, 3, *recipe.preprocessing.size, generator=generator)
    return Batch(pixels, torch.randint(CLASSES, (recipe.batch_size,), generator=generator))


class RecipeStep:
    """A call takes a whole training step: masks or widths, all passes, integration, clipping, optimizer.

    Attributes:
        passes: Its passes, counted by their multiplications as a multiple of those of a pass of the dense network.

    Raises:
        UnknownName: no such backbone or pattern.
        InvalidInput: the backbone does not take the images or options, or a capacity cannot be reached.
    """

    def __init__(self, recipe: Recipe) -> None:
        batch = random_batch(recipe)
        # Channels last, the layout of a training run's batches.
        self._batch = batch._replace(images=batch.images.contiguous(memory_format=torch.channels_last))
        self._recipe, self._trainee = recipe, new_trainee(recipe, classes=CLASSES)
        self._gradients = SubnetworkGradients(recipe, self._trainee, steps=STEPS)
        subnetworks = self._gradients.subnetworks
        self.passes = 1 + sum(multiplications(self._trainee.network, one) for one in subnetworks)
        self._numbers = itertools.count()

    def __call__(self) -> None:
        """Take one step."""
        optimizer, step = self._trainee.optimizer, next(self._numbers)
        take_step(self._recipe, optimizer, self._gradients, [self._batch], step=step, steps=STEPS)


class PlainPasses:
    """A call makes forward/backward passes of the backbone, with a linear classifier on its pooled output.

    Images have torch's default memory layout.

    Args:
        recipe: The recipe. There is one pass for each capacity, and one for the dense network.
        update: Whether the optimizer takes a step after the passes.

    Raises:
        UnknownName: no such backbone.
        InvalidInput: the backbone does not take the images or options.
    """

    def __init__(self, recipe: Recipe, *, update: bool = False) -> None:
        torch.manual_seed(0)
        embedder = build_embedder(
            recipe.backbone, dim=2, preprocessing=recipe.preprocessing, options=recipe.backbone_options
        )
        self.count, self._update = len(recipe.capacities) + 1, update
        self._batch = random_batch(recipe)
        self._backbone, self._classifier = embedder.backbone, nn.Linear(embedder.projector.in_features, CLASSES)
        self._optimizer = new_optimizer([*self._backbone.parameters(), *self._classifier.parameters()], recipe)

    def __call__(self) -> None:
        """Make as many passes as a step has networks."""
        for _ in range(self.count):
            self._optimizer.zero_grad()
            features: Tensor = self._backbone(self._batch.images)
            if features.ndim > 2:  # noqa: PLR2004  # [b, f, h, w]
                features = features.mean((2, 3))
            torch.autograd.backward(F.cross_entropy(self._classifier(features), self._batch.labels))
        if self._update:
            self._optimizer.step()
