"""One prunable network for all capacities: ours, the released rule, and the two without integration."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from prunnet_export.benchmarks.methods._base import FORWARD, Bench, Method, Trained
from prunnet_export.benchmarks.methods._loop import train_steps
from prunnet_export.benchmarks.methods.dense import materialised
from prunnet_export.patterns import Subnetwork
from prunnet_export.training._batches import Batch
from prunnet_export.training._draw import draw_subnetworks
from prunnet_export.training._integration import ConflictAware, Integration
from prunnet_export.training._loop import new_trainee
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._step import GradientStep


class Prunable(Method):
    """Subnetworks share the weights of one network and are chosen by one score map.

    Norms, projector and classifier learn from the dense loss alone, in all of these methods, so that they differ in
    nothing but what is named.

    Attributes:
        patterns: Of the subnetworks; each has a row of the table where there are several.
        changed: What the method has of its own in the recipe.
    """

    patterns: ClassVar[tuple[str, ...]] = ("channel",)
    changed: ClassVar[dict[str, Any]] = {}

    def integration(self, recipe: Recipe) -> Integration:
        """How the gradients become one."""
        return ConflictAware(recipe.integration, recipe.gamma)

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = bench.settings.recipe(seed, patterns=self.patterns, **self.changed)
        trainee = new_trainee(recipe, classes=bench.classes, device=torch.device("cpu"))
        trainee.network.train()
        integration = self.integration(recipe)
        gradients = GradientStep(trainee.network, trainee.classifier, integration, distillation=recipe.distillation)
        passes: list[float] = []
        # What cannot be drawn is refused before anything is trained.
        draw_subnetworks(recipe, trainee.network, step=bench.settings.steps, steps=bench.settings.steps)

        def step(batch: Batch, index: int, generator: torch.Generator) -> float:
            subnetworks = draw_subnetworks(recipe, trainee.network, step=index, steps=bench.settings.steps)
            taught = bool(subnetworks) and recipe.distillation > 0
            passes.append(1 + sum(map(_passes, subnetworks)) + taught * FORWARD)
            result = gradients(subnetworks, [batch], generator=generator)
            return result.dense_loss + result.gradient_norm  # either may have left the numbers

        seconds = train_steps(bench, recipe, trainee.optimizer, step, what=self.name)
        cuts = {
            self.name if len(self.patterns) == 1 else f"{self.name}, {pattern}": materialised(
                trainee.network, recipe, pattern, bench.settings.capacities
            )
            for pattern in self.patterns
        }
        return Trained(trainee.network.embedder, cuts, seconds, cost=sum(passes) / len(passes))


class Channel(Prunable):
    """Ours: whole channels, conflicts resolved progressively (PrunNet, CVPR 2025, section 3.3; PCGrad's projection)."""

    name = "channel"


class Unstructured(Prunable):
    """Ours with masks in the place of channels."""

    name = "unstructured"
    patterns = ("unstructured",)


class Block(Prunable):
    """Ours with blocks of zeros."""

    name = "block"
    patterns = ("block",)


class Patterns(Prunable):
    """Ours with four patterns in one network, the subnetworks of all of them in every step."""

    name = "patterns"
    patterns = ("channel", "2:4", "block", "unstructured")


class Released(Prunable):
    """PrunNet (CVPR 2025) as released: masks at 80, 60, 40 and 20 %, the last conflict alone is projected out."""

    name = "prunnet"
    patterns = ("unstructured",)
    changed: ClassVar[dict[str, Any]] = {
        "capacities": (0.8, 0.6, 0.4, 0.2),
        "random_capacities": 0,
        "dense_first": 0.0,
        "distillation": 0.0,
        "integration": "last-conflict",
        "gamma": 0.5,
    }


class Joint(Prunable):
    """The plain sum of the gradients; neither a start with the dense network alone nor distillation."""

    name = "joint"
    changed: ClassVar[dict[str, Any]] = {"integration": "sum", "dense_first": 0.0, "distillation": 0.0}


class JointUnstructured(Joint):
    """The same with masks in the place of channels."""

    name = "joint-unstructured"
    patterns = ("unstructured",)


def _passes(subnetwork: Subnetwork) -> float:
    """What its forward and backward pass costs of the dense one's: masks make nothing smaller."""
    return 1 if subnetwork.widths() is None else subnetwork.capacity
