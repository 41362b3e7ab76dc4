"""The network, objective and optimizer of a training run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export._files import sha256
from prunnet_export.network import PrunableNetwork, build_embedder, load_weights
from prunnet_export.patterns import allocate_by_cost
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


def new_trainee(
    recipe: Recipe, *, classes: int, device: torch.device | None = None, weights: Path | None = None
) -> Trainee:
    """A new network that learns from labels, with its classifier and optimizer.

    Args:
        recipe: The recipe. It decides the result, not the device.
        classes: Number of classes.
        device: Where the tensors are; None is the CPU.
        weights: See :func:`new_network`.

    Raises:
        UnknownName: there is no such backbone.
        InvalidInput: the backbone cannot be built, the weights do not fit it, or the file is another one.
        UnsupportedPattern: the recipe trains channel cuts, and no channel can be cut.
    """
    network = new_network(recipe, weights, classes=classes)
    objective = Classification(nn.Linear(recipe.embedding_dim, classes), bfloat16=recipe.bfloat16)
    return trainee_of(recipe, network, objective, device)


def new_network(recipe: Recipe, weights: Path | None = None, *, classes: int | None = None) -> PrunableNetwork:
    """A new network on the CPU, in training mode. It also seeds torch's global generator.

    A network with random weights that trains channel cuts has their widths already; see :func:`allocate_widths`.

    Args:
        recipe: The recipe.
        weights: The file that ``recipe.weights_sha256`` names. It can be left out if a saved state follows.
        classes: Number of classes. It can be left out if the recipe has a teacher.

    Raises:
        UnknownName: there is no such backbone.
        InvalidInput: the backbone cannot be built, the weights do not fit it, or the file is another one.
        UnsupportedPattern: the recipe trains channel cuts, and no channel can be cut.
    """
    torch.manual_seed(recipe.seed)
    embedder = build_embedder(
        recipe.backbone, dim=recipe.embedding_dim, preprocessing=recipe.preprocessing, options=recipe.backbone_options
    )
    if weights is not None:
        _refuse_other_file(weights, recipe)
        load_weights(embedder, weights)
    network = PrunableNetwork(
        embedder,
        size=recipe.preprocessing.size,
        seed=recipe.seed,
        scores="random" if recipe.weights_sha256 is None else "weights",
    )
    if recipe.weights_sha256 is None and recipe.cuts_channels:
        allocate_widths(network, recipe, classes=classes)
    return network


def allocate_widths(network: PrunableNetwork, recipe: Recipe, *, classes: int | None) -> None:
    """Give the channel cuts of a network with random weights the widths of the recipe; see :func:`allocate_by_cost`.

    The vectors of a teacher are given, so all numbers of the embedding count as independent. Labels only need an
    embedding that keeps the classes apart. Training drives the means of K classes towards the corners of a simplex,
    which has K - 1 dimensions (Papyan et al., PNAS 2020).

    Args:
        network: The network. Its ranks change.
        recipe: The recipe, with at least one capacity.
        classes: Number of classes; not used if the recipe has a teacher.

    Raises:
        UnsupportedPattern: no channel can be cut.
    """
    rank = recipe.embedding_dim
    if recipe.match is None and classes is not None:
        rank = min(rank, max(classes - 1, 1))
    allocate_by_cost(network, rank=rank, smallest=min(recipe.capacities), multiple=recipe.channel_multiple)


def trainee_of(
    recipe: Recipe, network: PrunableNetwork, objective: Objective, device: torch.device | None = None
) -> Trainee:
    """A network and an objective, moved to the device, with a new optimizer."""
    network.to(device)
    objective.to(device)
    return Trainee(network, objective, new_optimizer([*network.parameters(), *objective.parameters()], recipe))


def _refuse_other_file(weights: Path, recipe: Recipe) -> None:
    if sha256(weights) != recipe.weights_sha256:
        raise InvalidInput(
            f"{weights} is not the file that the recipe starts from (sha256 differs)",
            hint="give the SHA-256 of the file as the recipe's weights_sha256",
        )


def new_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for these parameters."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
