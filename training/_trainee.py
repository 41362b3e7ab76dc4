"""The network, objective and optimizer of a training run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from prunnet_export.network import PrunableNetwork, build_embedder
from prunnet_export.training._objectives import Classification, Objective
from prunnet_export.training._recipe import Recipe


@dataclass
class Trainee:
    """The objects that training changes.

    Attributes:
        network: The prunable network.
        objective: The loss, with its parameters, only for training.
        optimizer: The optimizer of the parameters of both.
    """

    network: PrunableNetwork
    objective: Objective
    optimizer: torch.optim.Optimizer

    @property
    def classifier(self) -> nn.Linear:
        """The classifier of a run with labels.

        Raises:
            TypeError: the run has none.
        """
        if not isinstance(self.objective, Classification):
            raise TypeError("a run without labels has no classifier")
        return self.objective.classifier

    def parameters(self) -> list[nn.Parameter]:
        """Every trained parameter, in a fixed order."""
        return [*self.network.parameters(), *self.objective.parameters()]


def new_trainee(recipe: Recipe, *, classes: int, device: torch.device | None = None) -> Trainee:
    """A new network that learns from labels. It depends on the recipe, not on the device (None is the CPU)."""
    network = new_network(recipe)
    objective = Classification(nn.Linear(recipe.embedding_dim, classes), bfloat16=recipe.bfloat16)
    return trainee_of(recipe, network, objective, device)


def new_network(recipe: Recipe) -> PrunableNetwork:
    """A new network on the CPU, in training mode. It also seeds torch's global generator."""
    torch.manual_seed(recipe.seed)
    embedder = build_embedder(
        recipe.backbone, dim=recipe.embedding_dim, preprocessing=recipe.preprocessing, options=recipe.backbone_options
    )
    return PrunableNetwork(embedder, crop=recipe.preprocessing.crop, seed=recipe.seed)


def trainee_of(
    recipe: Recipe, network: PrunableNetwork, objective: Objective, device: torch.device | None = None
) -> Trainee:
    """A network and an objective, moved to the device, with a new optimizer."""
    network.to(device)
    objective.to(device)
    return Trainee(network, objective, new_optimizer([*network.parameters(), *objective.parameters()], recipe))


def new_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for these parameters."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
