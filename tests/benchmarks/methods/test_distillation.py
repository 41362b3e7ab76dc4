from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from prunnet_export.benchmarks.methods import Bench
from prunnet_export.benchmarks.methods.dense import DenseRun
from prunnet_export.benchmarks.methods.distillation import (
    Anchors,
    Neighbours,
    Regression,
    anchors,
    bank,
    centroids,
    neighbours,
    regression,
)
from prunnet_export.benchmarks.methods.one_to_one import Criterion
from prunnet_export.training import Recipe
from tests._asserts import assert_same_tensors
from tests._inputs import images, tiny_resnet
from tests.benchmarks._bench import tiny_bench

Criteria = Callable[[DenseRun, Bench, Recipe], Callable[[], Criterion]]
IMAGES, LABELS = images(6, 32), torch.arange(6) % 4


class Fixed(nn.Module):
    """A teacher whose embeddings are given."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def forward(self, images: Tensor) -> Tensor:
        del images
        return self.vectors


def made(criteria: Criteria, folder: Path) -> tuple[Criterion, nn.Module]:
    bench, network = tiny_bench(folder), tiny_resnet()
    run = DenseRun(network, nn.Linear(8, 4), 0)
    return criteria(run, bench, bench.settings.recipe(0))(), network.embedder


@pytest.mark.parametrize("criteria", [regression, neighbours, anchors])
def test_the_teacher_is_the_minimum_and_does_not_change(criteria: Criteria, tmp_path: Path) -> None:
    criterion, teacher = made(criteria, tmp_path)
    before = deepcopy(teacher.state_dict())
    with torch.no_grad():
        target = teacher(IMAGES)
        assert not bool(target.isnan().any())
        least = criterion(3 * target, IMAGES, LABELS)  # length does not count
        torch.testing.assert_close(least, torch.tensor(0.0), atol=1e-5, rtol=0)
        assert float(criterion(target.roll(1, 0), IMAGES, LABELS)) > 1e-3
    student = target.roll(1, 0).requires_grad_()
    [gradient] = torch.autograd.grad(criterion(student, IMAGES, LABELS), [student])
    assert bool((gradient.abs().sum(1) > 0).all())
    assert_same_tensors(teacher.state_dict(), before)
    assert not list(criterion.parameters())


def test_labels_are_not_looked_at(tmp_path: Path) -> None:
    criterion, _ = made(neighbours, tmp_path)
    embedding = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(criterion(embedding, IMAGES, LABELS), criterion(embedding, IMAGES, LABELS.flip(0)))


def test_regression_by_hand() -> None:
    criterion = Regression(Fixed(torch.tensor([[2.0, 0.0], [0.0, 5.0]])))
    loss = criterion(torch.tensor([[3.0, 4.0], [0.0, -1.0]]), IMAGES[:2], LABELS[:2])
    torch.testing.assert_close(loss, torch.tensor(1 - (0.6 - 1) / 2))


def test_neighbours_by_hand() -> None:
    memory = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    criterion = Neighbours(Fixed(torch.tensor([[1.0, 0.0]])), memory, nearest=2, temperature=0.5)
    # The third is not among the two nearest to the teacher, though it is nearest to the student.
    loss = criterion(torch.tensor([[-1.0, 0.0]]), IMAGES[:1], LABELS[:1])
    p, q = torch.tensor([2.0, 0.0]).softmax(0), torch.tensor([-2.0, 0.0]).softmax(0)
    torch.testing.assert_close(loss, (p * (p / q).log()).sum())


def test_anchors_by_hand() -> None:
    codebooks = torch.tensor([[[1.0], [0.0]], [[0.5], [-0.5]]])  # two subspaces of one dimension, two centroids each
    criterion = Anchors(Fixed(torch.tensor([[0.6, 0.8]])), codebooks, temperature=1)
    loss = criterion(torch.tensor([[1.0, 0.0]]), IMAGES[:1], LABELS[:1])
    expected = torch.tensor(0.0)
    for teacher, student in (([0.6, 0], [1.0, 0]), ([0.4, -0.4], [0.0, 0.0])):
        p, q = torch.tensor(teacher).softmax(0), torch.tensor(student).softmax(0)
        expected = expected + (p * (p / q).log()).sum()
    torch.testing.assert_close(loss, expected)


def test_the_bank_is_of_unit_vectors_of_training_images(tmp_path: Path) -> None:
    bench, network = tiny_bench(tmp_path), tiny_resnet()
    vectors = bank(DenseRun(network, nn.Linear(8, 4), 0), bench, bench.settings.recipe(0))
    assert vectors.shape == (24, 8)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(24))
    first = bench.settings.preprocessing([bench.data.train.image(0)])
    with torch.no_grad():
        torch.testing.assert_close(vectors[:1], F.normalize(network(torch.from_numpy(first)), dim=1))


def test_centroids_of_what_is_clustered() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = centres.repeat(20, 1) + 0.01 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    # One start may be unlucky; of several one finds the three.
    found = [centroids(vectors, generator=torch.Generator().manual_seed(seed), most=3) for seed in range(8)]
    errors = [float(torch.cdist(centres, one).min(1).values.max()) for one in found]
    assert min(errors) < 0.02


@given(st.integers(0, 100), st.integers(1, 30), st.integers(1, 8))
def test_centroids_are_finite_and_as_many_as_there_can_be(seed: int, count: int, most: int) -> None:
    vectors = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).round()  # with repetitions
    found = centroids(vectors, generator=torch.Generator().manual_seed(seed), most=most, rounds=5)
    assert found.shape == (min(count, most), 3)
    assert bool(found.isfinite().all())
    before = centroids(vectors, generator=torch.Generator().manual_seed(seed), most=most, rounds=0)
    errors = [torch.cdist(vectors, one).min(1).values.square().sum() for one in (found, before)]
    assert float(errors[0]) <= float(errors[1]) + 1e-4
