"""The losses of students that answer a teacher's gallery, against their formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from prunnet_export.benchmarks.methods.losses import Anchors, codebooks_of, differences, similarities
from prunnet_export.benchmarks.methods.matching_losses import Ranking, bank, csd, d3still, raml, regression, ssp
from prunnet_export.training import Batch, Match, Objective, Recipe
from tests._inputs import images
from tests.benchmarks._bench import tiny_match, tiny_settings

MATCH = tiny_match()
RECIPE = tiny_settings().recipe(0)
EMBEDDING = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
VECTORS = torch.from_numpy(MATCH.targets.take(MATCH.targets.rows[:6], np.zeros(6, np.int64)))
BATCH = Batch(images(6, 8), torch.arange(6) % 3, VECTORS)
MEAN = torch.from_numpy(MATCH.mean)
Maker = Callable[[Match, Recipe], Objective]


def loss_of(make: Maker, embedding: Tensor = EMBEDDING) -> float:
    return float(make(MATCH, RECIPE)(embedding, BATCH, dense=True))


def distances() -> list[float]:
    found = []
    for q, g in zip(EMBEDDING, VECTORS, strict=True):
        a, b = q / q.norm() - MEAN, g - MEAN
        found.append(float(1 - a @ b / (a.norm() * b.norm())))
    return found


def test_regression() -> None:
    assert loss_of(regression) == pytest.approx(np.mean(distances()), rel=1e-5)


def test_csd() -> None:
    known = bank(MATCH)
    expected = np.mean(distances())
    for q, g in zip(F.normalize(EMBEDDING, dim=1), VECTORS, strict=True):
        p, r = (known @ g / 0.01).softmax(0), (known @ q).softmax(0)  # the bank has fewer than 256 vectors
        expected += float(torch.where(p > 0, p * (p / r).log(), 0).sum()) / 6
    assert loss_of(csd) == pytest.approx(expected, rel=1e-4)


def test_ssp() -> None:
    expected = Anchors(codebooks_of(bank(MATCH), seed=0))(F.normalize(EMBEDDING, dim=1), VECTORS)
    assert loss_of(ssp) == pytest.approx(float(expected), rel=1e-6)


def test_raml() -> None:
    relations = float(similarities(F.normalize(EMBEDDING, dim=1), VECTORS))
    assert loss_of(raml) == pytest.approx(10 * np.mean(np.square(distances())) + 10 * relations, rel=1e-5)


def test_d3still() -> None:
    relations = float(differences(F.normalize(EMBEDDING, dim=1), VECTORS))
    assert loss_of(d3still) == pytest.approx(50 * np.linalg.norm(distances()) / 6 + relations, rel=1e-5)


@pytest.mark.parametrize("make", [regression, ssp, raml, d3still])
def test_the_teachers_vectors_are_best_at_any_length(make: Maker) -> None:
    assert loss_of(make, VECTORS * torch.linspace(0.1, 30, 6).unsqueeze(1)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("make", [regression, csd, ssp, raml, d3still])
def test_every_image_learns_and_labels_are_not_looked_at(make: Maker) -> None:
    objective, embedding = make(MATCH, RECIPE), EMBEDDING.clone().requires_grad_()
    loss = objective(embedding, BATCH, dense=True)
    assert torch.equal(loss, objective(embedding, BATCH._replace(labels=BATCH.labels.flip(0)), dense=True))
    [gradient] = torch.autograd.grad(loss, [embedding])
    assert bool((gradient.abs().sum(1) > 0).all())
    assert not list(objective.parameters())


def test_the_bank_has_the_vectors_of_the_images_to_learn_from() -> None:
    rows = MATCH.targets.rows
    expected = MATCH.targets.take(rows, np.zeros(len(rows), np.int64))
    np.testing.assert_array_equal(bank(MATCH).numpy(), expected)


def test_a_batch_without_vectors_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no vectors"):
        Ranking(MEAN, similarities, None)(EMBEDDING, Batch(BATCH.images, BATCH.labels), dense=True)
