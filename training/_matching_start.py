"""The start of a run that answers a teacher's gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import settling_pairs
from prunnet_export.network import Embedder, fit_projector, reestimate_batchnorm
from prunnet_export.training._match import Match, Vectors
from prunnet_export.training._matching import Matching
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._trainee import Trainee, new_network, trainee_of


def new_matching_trainee(
    recipe: Recipe, match: Match, data: RetrievalData, *, classes: int, device: torch.device | None = None
) -> Trainee:
    """A new network that learns from a teacher's vectors, with its projector fitted to them.

    Args:
        recipe: The recipe; its ``match`` has to be set.
        match: The vectors.
        data: The images.
        classes: Number of classes, for runs that learn from labels too.
        device: The device of the trainee; None is the CPU.

    Raises:
        InvalidInput: an image cannot be read.
    """
    if recipe.match is None:
        raise ValueError("a recipe without a teacher")
    network = new_network(recipe)
    start_from_vectors(
        network.embedder,
        lambda: settling_pairs(data.train, match.sample, recipe.preprocessing),
        mean=match.mean,
        std=match.std,
    )
    classifier = nn.Linear(recipe.embedding_dim, classes) if recipe.match.label_weight else None
    objective = Matching(torch.from_numpy(match.mean), classifier, label_weight=recipe.match.label_weight)
    return trainee_of(recipe, network, objective, device)


def start_from_vectors(
    embedder: Embedder, pairs: Callable[[], Iterable[tuple[Tensor, Tensor]]], *, mean: Vectors, std: Vectors
) -> None:
    """Make the projector the best linear map from the backbone's features to the teacher's vectors, in place.

    The BatchNorm after it gives the embedding the mean and the standard deviation of the teacher's vectors, so that the
    loss does not begin with these.

    Args:
        embedder: The embedder. It is left in training mode.
        pairs: Returns images float32 [b, 3, h, w] in 0..1, and the teacher's unit vectors [b, dim], the same ones at
            each call.
        mean: Mean of the unit vectors, [dim].
        std: Their standard deviations, [dim].
    """
    reestimate_batchnorm(embedder, (images for images, _ in pairs()))
    norm = embedder.norm
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(std))
        norm.bias.copy_(torch.from_numpy(mean))
        # With these statistics the norm changes nothing, so the projector is fitted to the vectors themselves.
        for statistic, value in ((norm.running_mean, mean), (norm.running_var, std**2)):
            if statistic is not None:
                statistic.copy_(torch.from_numpy(value))
        embedder.projector.weight.zero_()
        embedder.projector.bias.zero_()
    fit_projector(embedder, pairs())
    embedder.train()
