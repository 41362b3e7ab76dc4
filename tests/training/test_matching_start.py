"""The start of a run with a teacher is the best linear map to its vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from prunnet_export.training._matching_start import start_as_teacher, start_from_vectors
from tests._inputs import images, randomise, tiny_resnet

DIM = 12


def teacher(batch: Tensor) -> Tensor:
    """Unit vectors with a large mean."""
    generator = torch.Generator().manual_seed(3)
    pooled = F.avg_pool2d(batch, 8).flatten(1)
    return F.normalize(3 + pooled @ torch.randn(pooled.shape[1], DIM, generator=generator), dim=1)


def batches() -> Iterator[Tensor]:
    for seed in range(4):
        yield images(30, 32, seed=seed)


def test_the_embedding_starts_near_the_vectors() -> None:
    embedder = tiny_resnet().embedder
    embedder.projector = torch.nn.Linear(embedder.projector.in_features, DIM)
    embedder.norm = torch.nn.BatchNorm1d(DIM)
    vectors = torch.cat([teacher(batch) for batch in batches()])
    mean, std = vectors.mean(0), vectors.std(0, correction=0)
    start_from_vectors(
        embedder,
        lambda: ((batch, teacher(batch)) for batch in batches()),
        mean=mean.numpy().astype(np.float32),
        std=std.numpy().astype(np.float32),
    )
    assert embedder.training
    with torch.no_grad():
        found = torch.cat([embedder.eval()(batch) for batch in batches()])
    # In batches, too, the embedding has the mean and the spread of the vectors, whatever the features are.
    with torch.no_grad():
        trained = embedder.train()(next(batches()))
    torch.testing.assert_close(trained.mean(0), mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(trained.std(0, correction=0), std, rtol=0.05, atol=1e-3)
    centred = F.cosine_similarity(F.normalize(found, dim=1) - mean, vectors - mean).mean()
    assert float(centred) > 0.25


def test_features_of_weights_that_exist_are_kept() -> None:
    embedder = tiny_resnet().embedder
    randomise(embedder.backbone)
    embedder.eval()
    with torch.no_grad():
        expected = [embedder.features(batch) for batch in batches()]
    vectors = torch.cat([teacher(batch) for batch in batches()])
    embedder.projector = torch.nn.Linear(embedder.projector.in_features, DIM)
    embedder.norm = torch.nn.BatchNorm1d(DIM)
    start_from_vectors(
        embedder,
        lambda: ((batch, teacher(batch)) for batch in batches()),
        mean=vectors.mean(0).numpy(),
        std=vectors.std(0).numpy(),
        reestimate=False,
    )
    embedder.eval()
    with torch.no_grad():
        for batch, features in zip(batches(), expected, strict=True):
            assert torch.equal(embedder.features(batch), features)


@pytest.mark.parametrize("silent", [[], [3], list(range(0, 32, 2))])
def test_a_backbone_that_is_the_teacher_starts_as_the_teacher(silent: list[int]) -> None:
    """Also where a feature is silent on all training images, and not on others."""
    embedder = tiny_resnet().embedder.eval()
    dim = embedder.projector.in_features
    embedder.projector, embedder.norm = torch.nn.Linear(dim, dim), torch.nn.BatchNorm1d(dim).eval()
    with torch.no_grad():
        features = torch.cat([embedder.features(batch) for batch in batches()])
    trained = features.clone()
    trained[:, silent] = 0
    unit = F.normalize(trained, dim=1).numpy()
    start_as_teacher(embedder, length=float(trained.norm(dim=1).mean()), mean=unit.mean(0), std=unit.std(0))
    with torch.no_grad():
        found = torch.cat([embedder(batch) for batch in batches()])
    assert float(features[:, silent].abs().sum()) > 0 or not silent
    assert float(F.cosine_similarity(found, features).min()) > 0.9999


def test_a_dimension_that_is_constant_in_training_can_learn() -> None:
    embedder = tiny_resnet().embedder
    embedder.projector = torch.nn.Linear(embedder.projector.in_features, DIM)
    embedder.norm = torch.nn.BatchNorm1d(DIM)
    vectors = torch.cat([teacher(batch) for batch in batches()])
    std = vectors.std(0).numpy()
    std[4] = 0
    start_from_vectors(
        embedder, lambda: ((batch, teacher(batch)) for batch in batches()), mean=vectors.mean(0).numpy(), std=std
    )
    embedder(next(batches())).square().sum().backward()
    assert embedder.projector.weight.grad is not None
    assert float(embedder.projector.weight.grad[4].abs().max()) > 0
