"""One training step, of any network: seeds, gradients, clipping, learning rate and optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export.patterns import Subnetwork
from prunnet_export.training._batches import Batch
from prunnet_export.training._distributed import ALONE, Ranks
from prunnet_export.training._draw import draw_subnetworks
from prunnet_export.training._gradients import MAX_NORM, IntegratedGradients
from prunnet_export.training._integration import ConflictAware, Integration
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._trainee import Trainee

# Given batches, the number of the step, and a generator that is the same on every rank, writes the gradients of all
# trained parameters to ``.grad`` and gives the losses by name.
Gradients = Callable[[Sequence[Batch], int, torch.Generator], dict[str, float]]


def take_step(
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    gradients: Gradients,
    batches: Iterable[Batch],
    *,
    step: int,
    steps: int,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Take one step out of ``steps``.

    Whatever is random follows from the seed and the step, so that a resumed run draws what an uninterrupted one draws.

    Args:
        recipe: Seed and learning rates.
        optimizer: Of all that is trained.
        gradients: Computes them.
        batches: Of one size; read here, so that no rank goes on where another one cannot read an image.
        step: Its number, from 0.
        steps: Of the run.
        ranks: The processes that train together.

    Returns:
        ``learning_rate``, the losses, and ``gradient_norm``, that of the whole gradient before it was clipped.

    Raises:
        InvalidInput: a loss is not finite, or an image cannot be read.
        Unreachable: another process failed or is gone.
    """
    seed = recipe.seed * 1_000_003 + step
    torch.manual_seed(seed * ranks.world_size + ranks.rank)  # dropout, of other images on each rank
    with ranks.agreeing():
        read = list(batches)
    losses = gradients(read, step, torch.Generator().manual_seed(seed))
    with ranks.agreeing():
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        if not all(map(math.isfinite, (*losses.values(), float(norm)))):
            raise InvalidInput(f"the loss is not finite at step {step}", hint="lower --learning-rate")
        if norm > MAX_NORM:  # clip_grad_norm_ would read and write all gradients to scale them by 1
            nn.utils.clip_grads_with_norm_(parameters, MAX_NORM, norm)
        rate = recipe.rate(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return {"learning_rate": rate, **losses, "gradient_norm": float(norm)}


class SubnetworkGradients:
    """The :data:`Gradients` of a recipe: those of the dense network and of a step's subnetworks, integrated.

    Args:
        recipe: What is drawn, and how gradients are integrated.
        trainee: Put in training mode.
        steps: Of the run.
        integration: In the place of the recipe's.
        ranks: The processes that train together.

    Attributes:
        subnetworks: Those of the last step.

    Raises:
        InvalidInput: a capacity is below what a pattern can reach, or all of them are above.
        UnknownName: there is no such pattern.
        UnsupportedPattern: the network cannot be cut like this.
    """

    def __init__(
        self,
        recipe: Recipe,
        trainee: Trainee,
        *,
        steps: int,
        integration: Integration | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._recipe, self._network, self._steps = recipe, trainee.network.train(), steps
        self._integrated = IntegratedGradients(
            trainee.network,
            trainee.classifier,
            integration or ConflictAware(recipe.integration, recipe.gamma),
            distillation=recipe.distillation,
            ranks=ranks,
            bfloat16=recipe.bfloat16,
        )
        self.subnetworks = self._draw(steps)  # what cannot be drawn is refused before anything is trained

    def __call__(self, batches: Sequence[Batch], step: int, generator: torch.Generator) -> dict[str, float]:
        """See :data:`Gradients`; the losses are ``loss_dense`` and ``loss_PATTERN_CAPACITY``."""
        self.subnetworks = self._draw(step)
        *losses, dense = self._integrated(self.subnetworks, batches, generator=generator)
        names = [f"loss_{subnetwork.pattern}_{subnetwork.asked:g}" for subnetwork in self.subnetworks]
        return {"loss_dense": dense, **dict(zip(names, losses, strict=True))}

    def _draw(self, step: int) -> list[Subnetwork]:
        return draw_subnetworks(self._recipe, self._network, step=step, steps=self._steps)
