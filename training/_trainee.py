"""The network, classifier and optimizer of a training run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from prunnet_export.network import PrunableNetwork, build_embedder
from prunnet_export.training._recipe import Recipe


@dataclass
class Trainee:
    """The objects that training changes.

    Attributes:
        network: The prunable network.
        classifier: The classifier of the un-normalised embedding, only for training.
        optimizer: The optimizer of the parameters of both.
    """

    network: PrunableNetwork
    classifier: nn.Linear
    optimizer: torch.optim.Optimizer

    def parameters(self) -> list[nn.Parameter]:
        """Every trained parameter, in a fixed order."""
        return [*self.network.parameters(), *self.classifier.parameters()]


def new_trainee(recipe: Recipe, *, classes: int, device: torch.device | None = None) -> Trainee:
    """A new network, classifier and optimizer. They depend on the recipe, not on the device (None is the CPU)."""
    torch.manual_seed(recipe.seed)
    embedder = build_embedder(
        recipe.backbone, dim=recipe.embedding_dim, preprocessing=recipe.preprocessing, options=recipe.backbone_options
    )
    network = PrunableNetwork(embedder, crop=recipe.preprocessing.crop, seed=recipe.seed)
    classifier = nn.Linear(recipe.embedding_dim, classes)
    network.to(device)
    classifier.to(device)
    return Trainee(network, classifier, new_optimizer([*network.parameters(), *classifier.parameters()], recipe))


def new_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for these parameters."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
