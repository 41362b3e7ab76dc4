"""One prunable network for all capacities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from prunnet_export.benchmarks.methods._base import FORWARD, Bench, Method, Settings, Trained
from prunnet_export.benchmarks.methods.dense import materialised
from prunnet_export.patterns import Subnetwork
from prunnet_export.training import Batch, Integration, Recipe, SubnetworkGradients, new_trainee


@dataclass(frozen=True)
class Prunable(Method):
    """Subnetworks share the weights of one network and are chosen by one score map.

    Norms, projector and classifier learn from the dense loss alone, in all of these methods, so that they differ in
    nothing but what is named.

    Attributes:
        name: What ``--methods`` takes.
        patterns: Of the subnetworks; each has a row of the table where there are several.
        changed: What the method has of its own in the recipe.
        integration: How the gradients become one; None leaves it to the recipe.
    """

    name: str
    patterns: tuple[str, ...] = ("channel",)
    changed: Mapping[str, Any] = field(default_factory=dict)
    integration: Callable[[Recipe], Integration | None] = lambda _recipe: None

    def check(self, settings: Settings) -> None:
        """See :class:`Method`."""
        self.integration(self.recipe(settings, 0))

    def recipe(self, settings: Settings, seed: int) -> Recipe:
        """What is trained."""
        return settings.recipe(seed, patterns=self.patterns, **self.changed)

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = self.recipe(bench.settings, seed)
        trainee = new_trainee(recipe, classes=bench.classes)
        steps, integration = bench.settings.steps, self.integration(recipe)
        gradients = SubnetworkGradients(recipe, trainee, steps=steps, integration=integration)
        costs: list[float] = []

        def counted(batches: Sequence[Batch], step: int, generator: torch.Generator) -> dict[str, float]:
            losses = gradients(batches, step, generator)
            taught = bool(gradients.subnetworks) and recipe.distillation > 0
            costs.append(1 + sum(map(_cost, gradients.subnetworks)) + taught * FORWARD)
            return losses

        seconds = bench.train(recipe, trainee.optimizer, counted, what=self.name)
        cuts = {
            self.name if len(self.patterns) == 1 else f"{self.name}, {pattern}": materialised(
                trainee.network, recipe, pattern, bench.settings.capacities
            )
            for pattern in self.patterns
        }
        return Trained(trainee.network.embedder, cuts, seconds, cost=sum(costs) / len(costs))


def _cost(subnetwork: Subnetwork) -> float:
    """What its forward and backward pass costs of the dense one's: masks make nothing smaller."""
    return 1 if subnetwork.widths() is None else subnetwork.capacity
