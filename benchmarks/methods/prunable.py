"""Methods that train one prunable network for all capacities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from prunnet_export.benchmarks.methods._base import FORWARD, Bench, Method, Settings, Trained
from prunnet_export.benchmarks.methods.dense import cut_subnetworks
from prunnet_export.patterns import Subnetwork
from prunnet_export.training import Batch, Integration, Recipe, SubnetworkGradients, Trainee, new_trainee


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
        gradients = CountedGradients(recipe, trainee, steps=steps, integration=integration)
        seconds = bench.train(recipe, trainee.optimizer, gradients, what=self.name)
        cuts = {
            self.name if len(self.patterns) == 1 else f"{self.name}, {pattern}": cut_subnetworks(
                trainee.network, recipe, pattern, bench.settings.capacities
            )
            for pattern in self.patterns
        }
        return Trained(trainee.network.embedder, cuts, seconds, gradients.cost)


class CountedGradients(SubnetworkGradients):
    """:class:`SubnetworkGradients` that count their passes. The arguments are the same."""

    def __init__(self, recipe: Recipe, trainee: Trainee, *, steps: int, integration: Integration | None = None) -> None:
        super().__init__(recipe, trainee, steps=steps, integration=integration)
        self._distils, self._costs = recipe.distillation > 0, list[float]()

    def __call__(self, batches: Sequence[Batch], step: int, generator: torch.Generator) -> dict[str, float]:
        """See :class:`SubnetworkGradients`."""
        losses = super().__call__(batches, step, generator)
        distilled = bool(self.subnetworks) and self._distils
        self._costs.append(1 + sum(map(_cost, self.subnetworks)) + distilled * FORWARD)
        return losses

    @property
    def cost(self) -> float:
        """The mean cost of a step, as a multiple of that of the dense network alone."""
        return sum(self._costs) / len(self._costs)


def _cost(subnetwork: Subnetwork) -> float:
    """The cost of its forward and backward pass, as a fraction of the dense one's. Masks do not reduce it."""
    return 1 if subnetwork.widths() is None else subnetwork.capacity
