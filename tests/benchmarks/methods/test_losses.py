"""The losses of unit vectors, against their formulas written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from prunnet_export.benchmarks.methods.losses import (
    Anchors,
    Loss,
    Neighbours,
    centroids,
    codebooks_of,
    cosine_distance,
    differences,
    similarities,
)


def unit_vectors(count: int, *, seed: int, dim: int = 8) -> Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


BANK = unit_vectors(20, seed=9)
LOSSES: dict[str, Loss] = {
    "cosine": cosine_distance,
    "neighbours": Neighbours(BANK, nearest=5),
    "anchors": Anchors(codebooks_of(BANK, seed=0)),
    "similarities": similarities,
    "differences": differences,
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_teacher_is_the_minimum(name: str) -> None:
    teacher = unit_vectors(6, seed=0)
    loss, student = LOSSES[name], teacher.clone().requires_grad_()
    least = loss(student, teacher)
    torch.testing.assert_close(least, torch.tensor(0.0), atol=1e-5, rtol=0)
    [gradient] = torch.autograd.grad(least, [student])
    assert bool(gradient.isfinite().all())
    assert float(loss(teacher.roll(1, 0), teacher)) > 1e-3


def test_cosine_distance_by_hand() -> None:
    student, teacher = torch.tensor([[0.6, 0.8], [0.0, -1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(cosine_distance(student, teacher), torch.tensor(1 - (0.6 - 1) / 2))


def test_neighbours_by_hand() -> None:
    memory = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # The third is not among the two nearest to the teacher, though it is nearest to the student.
    student, teacher = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    loss = Neighbours(memory, nearest=2, temperature=0.5, teacher_temperature=0.25)(student, teacher)
    p, q = torch.tensor([4.0, 0.0]).softmax(0), torch.tensor([-2.0, 0.0]).softmax(0)
    torch.testing.assert_close(loss, (p * (p / q).log()).sum())


def test_anchors_by_hand() -> None:
    codebooks = torch.tensor([[[1.0], [0.0]], [[0.5], [-0.5]]])  # two subspaces of one dimension, two centroids each
    loss = Anchors(codebooks, temperature=1)(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]]))
    expected = torch.tensor(0.0)
    for teacher, student in (([0.6, 0], [1.0, 0]), ([0.4, -0.4], [0.0, 0.0])):
        p, q = torch.tensor(teacher).softmax(0), torch.tensor(student).softmax(0)
        expected = expected + (p * (p / q).log()).sum()
    torch.testing.assert_close(loss, expected)


def test_similarities_by_hand() -> None:
    student, teacher = unit_vectors(3, seed=1), unit_vectors(3, seed=2)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            wanted = float(teacher[i] @ teacher[j])
            across, own = float(student[i] @ teacher[j]), float(student[i] @ student[j])
            expected += (0.75 * (across - wanted) ** 2 + 0.68 * (own - wanted) ** 2) / 9
    assert similarities(student, teacher).item() == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 1000), st.integers(2, 9), st.integers(1, 10))
def test_differences_by_hand(seed: int, count: int, nearest: int) -> None:
    student, teacher = unit_vectors(count, seed=seed).double(), unit_vectors(count, seed=seed + 1).double()
    total = 0.0
    for i in range(count):
        others = sorted((j for j in range(count) if j != i), key=lambda j: -float(teacher[i] @ teacher[j]))[:nearest]
        wrong = right = 0.0
        for j in others:
            for k in others:
                wanted = float(teacher[i] @ (teacher[j] - teacher[k]))
                found = float(student[i] @ (teacher[j] - teacher[k]))
                squared = ((found - wanted) / (0.1 + abs(wanted))) ** 2
                if found * wanted < 0:
                    wrong += squared
                else:
                    right += squared
        total += (5 * wrong**0.5 + right**0.5) / len(others)
    assert differences(student, teacher, nearest=nearest).item() == pytest.approx(total / count, rel=1e-9, abs=1e-12)


def test_differences_of_two_images_are_nothing() -> None:
    student = unit_vectors(2, seed=0).requires_grad_()
    loss = differences(student, unit_vectors(2, seed=1))
    [gradient] = torch.autograd.grad(loss, [student])
    assert loss.item() == 0
    assert not gradient.any()


def test_codebooks_divide_the_dimensions() -> None:
    assert codebooks_of(unit_vectors(10, seed=0, dim=12), seed=0).shape == (4, 10, 3)
    assert codebooks_of(unit_vectors(10, seed=0, dim=7), seed=0).shape == (1, 10, 7)


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
