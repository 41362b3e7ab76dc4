"""Methods with one network for each capacity. It is trained alone, or with the help of a frozen dense network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export._numbers import percent
from prunnet_export.benchmarks.methods._base import FORWARD, Bench, Method, Trained
from prunnet_export.benchmarks.methods.dense import DenseRun, dense_run
from prunnet_export.benchmarks.methods.slices import first_units
from prunnet_export.network import Embedder
from prunnet_export.patterns import materialise
from prunnet_export.training import Batch, Gradients, Recipe, new_optimizer, new_trainee


class Criterion(nn.Module, ABC):
    """The loss of a student. The parameters of the criterion are trained together with the student."""

    @abstractmethod
    def forward(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of un-normalised embeddings [b, dim] of images [b, 3, h, w] with labels int64 [b]."""


@dataclass(frozen=True)
class OneToOne(Method):
    """A narrower student for each capacity. The dense network of the same seed embeds the gallery.

    A student has the widths of a channel cut, and starts with the first units of the dense network's initial weights.
    Only evaluated capacities have one.

    Attributes:
        name: The name for ``--methods``.
        criteria: A function that returns, for one seed, the function that makes each student's criterion.
        teacher: Whether the dense network embeds every batch too.
    """

    name: str
    criteria: Callable[[DenseRun, Bench, Recipe], Callable[[], Criterion]]
    teacher: bool = False

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = bench.settings.recipe(seed)
        fresh = new_trainee(recipe, classes=bench.classes).network
        # A capacity that cannot be cut is refused before the training.
        cuts = {
            capacity: first_units(fresh, capacity, channel_multiple=recipe.channel_multiple)
            for capacity in bench.settings.students
        }
        dense = dense_run(bench, seed)
        queries: dict[float, Embedder] = {}
        criteria = self.criteria(dense, bench, recipe)
        seconds, cost = 0.0, 1.0
        for capacity, cut in cuts.items():
            student, criterion = materialise(fresh, cut).requires_grad_().train(), criteria()

            def loss(embedding: Tensor, batch: Batch, criterion: Criterion = criterion) -> Tensor:
                found: Tensor = criterion(embedding, batch.images, batch.labels)
                return found

            trained = [*student.parameters(), *(one for one in criterion.parameters() if one.requires_grad)]
            optimizer = new_optimizer(trained, recipe)
            gradients = student_gradients(student, optimizer, loss)
            seconds += bench.train(recipe, optimizer, gradients, what=f"{self.name} {percent(capacity)}")
            cost += cut.capacity + (FORWARD if self.teacher else 0)
            queries[capacity] = student.eval()
        return Trained(dense.network.embedder, {self.name: queries}, seconds, cost)


def student_gradients(
    student: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[Tensor, Batch], Tensor]
) -> Gradients:
    """The gradients of the loss of a student's un-normalised embedding [b, dim] of a batch."""

    def gradients(batches: Sequence[Batch], _step: int, _generator: torch.Generator) -> dict[str, float]:
        [batch] = batches
        optimizer.zero_grad()
        found = loss(student(batch.images), batch)
        torch.autograd.backward(found)
        return {"loss": found.item()}

    return gradients


class OwnClassifier(Criterion):
    """Cross-entropy of the student's own classifier, plus that of ``frozen`` classifiers, which are not trained."""

    def __init__(self, dim: int, classes: int, *frozen: nn.Linear) -> None:
        super().__init__()
        self.own, self.frozen = nn.Linear(dim, classes), nn.ModuleList(frozen)

    def forward(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """See :class:`Criterion`."""
        del images
        losses = [F.cross_entropy(classifier(embedding), labels) for classifier in (self.own, *self.frozen)]
        return torch.stack(losses).sum()


def independent(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Independent networks: they show what each capacity can reach alone.

    Before the projector is refitted to the dense network's outputs, the cross-test is near chance.
    """
    del dense
    return lambda: OwnClassifier(recipe.embedding_dim, bench.classes)


def bct(dense: DenseRun, bench: Bench, recipe: Recipe) -> Callable[[], Criterion]:
    """Backward-compatible training (Shen et al., CVPR 2020): the loss includes the dense network's frozen classifier.

    L = CE(own classifier) + lambda CE(dense classifier), lambda = 1. In the paper a new large network becomes
    compatible with an old one. Here the new network is the small one, and it embeds the queries.
    """
    return lambda: OwnClassifier(recipe.embedding_dim, bench.classes, dense.classifier)
