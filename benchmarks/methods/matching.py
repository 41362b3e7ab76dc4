"""Methods that answer the gallery of a teacher, which stays as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from torch import Tensor

from prunnet_export._numbers import percent
from prunnet_export.benchmarks.methods._base import Bench
from prunnet_export.benchmarks.methods.dense import cut_subnetworks
from prunnet_export.benchmarks.methods.one_to_one import student_gradients
from prunnet_export.benchmarks.methods.prunable import CountedGradients
from prunnet_export.benchmarks.methods.slices import first_units
from prunnet_export.network import Embedder
from prunnet_export.patterns import materialise
from prunnet_export.training import (
    Batch,
    Match,
    Objective,
    Recipe,
    new_matching_trainee,
    new_network,
    new_optimizer,
    start_matching,
)


@dataclass(frozen=True, kw_only=True)
class MatchBench(Bench):
    """The place where methods are compared that answer a teacher's gallery.

    Attributes:
        match: The teacher's vectors of the training images, by seed.
        nested_cost: The cost of the run of :class:`Nested` with a seed.
    """

    match: Callable[[int], Match]
    nested_cost: Callable[[int], float]


@dataclass(frozen=True)
class MatchTrained:
    """The query embedders that a method has trained with one seed.

    Attributes:
        queries: Returns embedders by capacity, the dense one too. Their BatchNorm statistics are re-estimated later.
        dense: The network that ``queries`` cuts, as it is then; None if each embedder is a network of its own.
        seconds: Time of the training steps.
        cost: Forward and backward passes, as a multiple of those of ``settings.steps`` steps of the dense network.
        steps: Number of steps of each network.
    """

    queries: Callable[[], Mapping[float, Embedder]]
    dense: Embedder | None
    seconds: float
    cost: float
    steps: int


class MatchMethod(ABC):
    """A way to train query embedders of several capacities for a teacher's gallery.

    Attributes:
        name: The name for ``--methods``.
    """

    name: str

    @abstractmethod
    def train(self, bench: MatchBench, seed: int) -> MatchTrained:
        """Train all networks of the method with one seed.

        Raises:
            InvalidInput: a capacity cannot be reached, or the loss is not finite.
            UnsupportedPattern: the backbone cannot be cut like this.
        """


@dataclass(frozen=True)
class Nested(MatchMethod):
    """Our method: one prunable network, trained as ``prunnet-train --match`` does."""

    name: str = "nested"

    def train(self, bench: MatchBench, seed: int) -> MatchTrained:
        """See :class:`MatchMethod`."""
        recipe, match, steps = bench.settings.recipe(seed), bench.match(seed), bench.settings.steps
        trainee = new_matching_trainee(recipe, match, bench.data, classes=bench.classes)
        gradients = CountedGradients(recipe, trainee, steps=steps)
        seconds = bench.train(recipe, trainee.optimizer, gradients, what=self.name, targets=match.targets)
        network, [pattern] = trainee.network, recipe.patterns

        def queries() -> dict[float, Embedder]:
            cuts = cut_subnetworks(network, recipe, pattern, bench.settings.capacities)
            return {1.0: network.embedder, **cuts}

        return MatchTrained(queries, network.embedder, seconds, gradients.cost, steps)


@dataclass(frozen=True)
class Students(MatchMethod):
    """A narrower student for each of ``settings.students``, and one of full width.

    A student has the widths of a channel cut. It starts with the first units of the initial weights of :class:`Nested`,
    and its projector is fitted to the teacher in the same way.

    Attributes:
        name: The name for ``--methods``.
        objective: A function that makes the loss; it has no parameters.
        equal_cost: Give the students so many steps that all of them together cost as much as :class:`Nested`.
            Otherwise each has as many steps as that one.
    """

    name: str
    objective: Callable[[Match, Recipe], Objective]
    equal_cost: bool = False

    def train(self, bench: MatchBench, seed: int) -> MatchTrained:
        """See :class:`MatchMethod`."""
        settings, recipe = bench.settings, bench.settings.recipe(seed)
        fresh = new_network(recipe)
        # A capacity that cannot be cut is refused before the training.
        cuts = {
            capacity: first_units(fresh, capacity, channel_multiple=recipe.channel_multiple)
            for capacity in settings.students
        }
        cost = 1 + sum(cut.capacity for cut in cuts.values())
        steps = max(1, round(settings.steps * bench.nested_cost(seed) / cost)) if self.equal_cost else settings.steps
        match = bench.match(seed)
        objective, seconds = self.objective(match, recipe), 0.0

        def loss(embedding: Tensor, batch: Batch) -> Tensor:
            found: Tensor = objective(embedding, batch, dense=True)
            return found

        students = {1.0: deepcopy(fresh.embedder), **{one: materialise(fresh, cut) for one, cut in cuts.items()}}
        for capacity, student in students.items():
            start_matching(student.requires_grad_(), recipe, match, bench.data)
            optimizer = new_optimizer(student.parameters(), recipe)
            gradients, what = student_gradients(student, optimizer, loss), f"{self.name} {percent(capacity)}"
            seconds += bench.train(recipe, optimizer, gradients, what=what, targets=match.targets, steps=steps)
            student.eval()
        return MatchTrained(lambda: students, None, seconds, cost * steps / settings.steps, steps)
