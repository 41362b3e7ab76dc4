"""The start of a run that answers a teacher's gallery."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import settling_inputs, settling_pairs
from prunnet_export.network import Embedder, fit_projector, rebase_batchnorm, reestimate_batchnorm
from prunnet_export.training._match import Match, Vectors
from prunnet_export.training._matching import Matching
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._trainee import Trainee, new_network, trainee_of
from prunnet_export.training._weights_start import allocate_channels

_OF_TYPICAL, _LEAST_STD = 0.01, 1e-6  # the standard deviation of a constant dimension


def new_matching_trainee(
    recipe: Recipe,
    match: Match,
    data: RetrievalData,
    *,
    classes: int,
    device: torch.device | None = None,
    weights: Path | None = None,
) -> Trainee:
    """A new network that learns from a teacher's vectors, with its projector fitted to them.

    Args:
        recipe: The recipe; its ``match`` has to be set.
        match: The vectors.
        data: The images.
        classes: Number of classes, for runs that learn from labels too.
        device: The device of the trainee; None is the CPU.
        weights: See :func:`new_network`.

    Raises:
        InvalidInput: an image cannot be read.
        UnsupportedPattern: the recipe trains channel cuts, and no channel can be cut.
    """
    if recipe.match is None:
        raise ValueError("a recipe without a teacher")
    network = new_network(recipe, weights)
    start_matching(network.embedder, recipe, match, data)
    if weights is not None:
        allocate_channels(network, recipe, settling_inputs(data.train, match.sample, recipe.preprocessing))
    classifier = nn.Linear(recipe.embedding_dim, classes) if recipe.match.label_weight else None
    objective = Matching(torch.from_numpy(match.mean), classifier, label_weight=recipe.match.label_weight)
    return trainee_of(recipe, network, objective, device)


def start_matching(embedder: Embedder, recipe: Recipe, match: Match, data: RetrievalData) -> None:
    """Fit the projector of a new embedder to a teacher, in place. It is left in training mode.

    Args:
        embedder: The embedder.
        recipe: The recipe, for the preprocessing.
        match: The teacher's vectors.
        data: The images.

    Raises:
        InvalidInput: an image cannot be read.
    """
    if recipe.weights_sha256 is not None:
        inputs = settling_inputs(data.train, match.sample, recipe.preprocessing)
        rebase_batchnorm(embedder.backbone, map(embedder.standardised, inputs))
    if match.kind == "self":
        length = float(np.linalg.norm(match.sample.embeddings, axis=1).mean())
        start_as_teacher(embedder, length=length, mean=match.mean, std=match.std)
    else:
        start_from_vectors(
            embedder,
            lambda: settling_pairs(data.train, match.sample, recipe.preprocessing),
            mean=match.mean,
            std=match.std,
            reestimate=recipe.weights_sha256 is None,
        )


def start_from_vectors(
    embedder: Embedder,
    pairs: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    *,
    mean: Vectors,
    std: Vectors,
    reestimate: bool = True,
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
        reestimate: Re-estimate the backbone's BatchNorm statistics on the images first. This spoils the features of
            weights that exist.
    """
    if reestimate:
        reestimate_batchnorm(embedder, (images for images, _ in pairs()))
    _start_norm(embedder.norm, mean, std)
    with torch.no_grad():
        embedder.projector.weight.zero_()
        embedder.projector.bias.zero_()
    fit_projector(embedder, pairs())
    embedder.train()


def start_as_teacher(embedder: Embedder, *, length: float, mean: Vectors, std: Vectors) -> None:
    """Make the embedding equal to the pooled features of the backbone, divided by their mean length, in place.

    Args:
        embedder: The embedder. Its embedding is as long as its features.
        length: Mean length of the features.
        mean: Mean of their unit vectors, [dim].
        std: Their standard deviations, [dim].
    """
    _start_norm(embedder.norm, mean, std)
    scale = torch.from_numpy(1 / _without_zeros(std))
    with torch.no_grad():
        embedder.projector.weight.copy_(torch.diag(scale) / length)
        embedder.projector.bias.copy_(-torch.from_numpy(mean) * scale)


def _start_norm(norm: nn.BatchNorm1d, mean: Vectors, std: Vectors) -> None:
    """A norm that maps mean 0 and variance 1 to the mean and the deviation of the teacher's vectors.

    The projector's outputs are of order 1, because the dimensions of unit vectors vary less than the norm's epsilon.
    """
    norm.reset_running_stats()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(_without_zeros(std)) * math.sqrt(1 + norm.eps))
        norm.bias.copy_(torch.from_numpy(mean))


def _without_zeros(std: Vectors) -> Vectors:
    """Standard deviations, those of 0 replaced by a small share of the others.

    A dimension that is constant on the training images can vary on others: that of a feature after ReLU which no
    training image activates. A factor of 0 in the norm would hold it constant for ever.
    """
    typical = float(np.sqrt(np.square(std, dtype=np.float64).mean()))
    return np.where(std > 0, std, np.float32(max(_OF_TYPICAL * typical, _LEAST_STD)))
