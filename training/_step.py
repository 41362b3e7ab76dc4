"""One training step of any method: seeds, gradients, clipping, learning rate and optimizer."""

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

# A function of batches, the number of the step, and a generator with the same state on every rank. It writes the
# gradients of all trained parameters to ``.grad`` and returns the losses by name.
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
    """Take one step.

    The seed and the step determine all random numbers, so a resumed run draws the same ones as an uninterrupted run.

    Args:
        recipe: The recipe, for its seed and learning rates.
        optimizer: The optimizer of all trained parameters.
        gradients: The function that computes the gradients.
        batches: Micro-batches of equal size. They are read here, so that all ranks stop if one cannot read an image.
        step: Number of the step, from 0.
        steps: Number of steps of the run.
        ranks: The processes that train together.

    Returns:
        ``learning_rate``, the losses, and ``gradient_norm``, the norm of the whole gradient before clipping.

    Raises:
        InvalidInput: a loss is not finite, or an image cannot be read.
        Unreachable: another process failed or ended.
    """
    seed = recipe.seed * 1_000_003 + step
    torch.manual_seed(seed * ranks.world_size + ranks.rank)  # for dropout, different on each rank
    with ranks.sharing_failures():
        read = list(batches)
    losses = gradients(read, step, torch.Generator().manual_seed(seed))
    with ranks.sharing_failures():
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        if not all(map(math.isfinite, (*losses.values(), float(norm)))):
            raise InvalidInput(f"the loss is not finite at step {step}", hint="lower --learning-rate")
        if norm > MAX_NORM:  # clip_grad_norm_ would rewrite all gradients even if nothing is clipped
            nn.utils.clip_grads_with_norm_(parameters, MAX_NORM, norm)
        rate = recipe.rate(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return {"learning_rate": rate, **losses, "gradient_norm": float(norm)}


class SubnetworkGradients:
    """The :data:`Gradients` of a recipe: the integrated gradients of the dense network and a step's subnetworks.

    Args:
        recipe: The recipe of the run.
        trainee: The trainee; its network is put in training mode.
        steps: Number of steps of the run.
        integration: The integration to use instead of the recipe's.
        ranks: The processes that train together.

    Attributes:
        subnetworks: The subnetworks of the last step.

    Raises:
        InvalidInput: a capacity is below those that a pattern can reach, or all of them are above.
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
            trainee.objective,
            integration or ConflictAware(recipe.integration, recipe.gamma),
            distillation=recipe.distillation,
            ranks=ranks,
            bfloat16=recipe.bfloat16,
        )
        self.subnetworks = self._draw(steps)  # so that an impossible capacity is refused before the first step

    def __call__(self, batches: Sequence[Batch], step: int, generator: torch.Generator) -> dict[str, float]:
        """See :data:`Gradients`; the losses are ``loss_dense`` and ``loss_PATTERN_CAPACITY``."""
        self.subnetworks = self._draw(step)
        *losses, dense = self._integrated(self.subnetworks, batches, generator=generator)
        names = [f"loss_{subnetwork.pattern}_{subnetwork.asked:g}" for subnetwork in self.subnetworks]
        return {"loss_dense": dense, **dict(zip(names, losses, strict=True))}

    def _draw(self, step: int) -> list[Subnetwork]:
        return draw_subnetworks(self._recipe, self._network, step=step, steps=self._steps)
