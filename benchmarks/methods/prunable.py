"""Methods that train one prunable network for all capacities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from prunnet_export.benchmarks.methods._base import FORWARD, Bench, Method, Settings, Trained
from prunnet_export.benchmarks.methods.dense import cut_subnetworks
from prunnet_export.patterns import Subnetwork
from prunnet_export.training import Batch, Integration, Recipe, SubnetworkGradients, new_trainee


@dataclass(frozen=True)
class Prunable(Method):
    """The subnetworks share the weights of one network, and its scores choose their weights.

    In all of these methods norms, projector and classifier learn only from the dense loss. The methods differ only in
    the attributes below.

    Attributes:
        name: The name for ``--methods``.
        patterns: Patterns of the subnetworks. If there are several, each has a row of the table.
        changed: Fields of the recipe that the method changes.
        integration: A function that makes the integration; it returns None to use the recipe's.
    """

    name: str
    patterns: tuple[str, ...] = ("channel",)
    changed: Mapping[str, Any] = field(default_factory=dict)
    integration: Callable[[Recipe], Integration | None] = lambda _recipe: None

    def check(self, settings: Settings) -> None:
        """See :class:`Method`."""
        self.integration(self.recipe(settings, 0))

    def recipe(self, settings: Settings, seed: int) -> Recipe:
        """The recipe of a run."""
        return settings.recipe(seed, patterns=self.patterns, **self.changed)

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = self.recipe(bench.settings, seed)
        trainee = new_trainee(recipe, classes=bench.classes)
        steps, integration = bench.settings.steps, self.integration(recipe)
        gradients = SubnetworkGradients(recipe, trainee, steps=steps, integration=integration)
        costs: list[float] = []

        def gradients_with_cost(batches: Sequence[Batch], step: int, generator: torch.Generator) -> dict[str, float]:
            losses = gradients(batches, step, generator)
            distilled = bool(gradients.subnetworks) and recipe.distillation > 0
            costs.append(1 + sum(map(_cost, gradients.subnetworks)) + distilled * FORWARD)
            return losses

        seconds = bench.train(recipe, trainee.optimizer, gradients_with_cost, what=self.name)
        cuts = {
            self.name if len(self.patterns) == 1 else f"{self.name}, {pattern}": cut_subnetworks(
                trainee.network, recipe, pattern, bench.settings.capacities
            )
            for pattern in self.patterns
        }
        return Trained(trainee.network.embedder, cuts, seconds, cost=sum(costs) / len(costs))


def _cost(subnetwork: Subnetwork) -> float:
    """The cost of its forward and backward pass, as a fraction of the dense one's. Masks do not reduce it."""
    return 1 if subnetwork.widths() is None else subnetwork.capacity
