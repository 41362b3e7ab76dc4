from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunnet_export.benchmarks.methods import Bench
from prunnet_export.benchmarks.methods.dense import DenseRun
from prunnet_export.benchmarks.methods.distillation import anchors, bank, neighbours, regression
from prunnet_export.benchmarks.methods.one_to_one import Criterion
from prunnet_export.training import Recipe
from tests._asserts import assert_same_tensors
from tests._inputs import images, tiny_resnet
from tests.benchmarks._bench import tiny_bench

Criteria = Callable[[DenseRun, Bench, Recipe], Callable[[], Criterion]]
IMAGES, LABELS = images(6, 32), torch.arange(6) % 4


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


def test_the_bank_is_of_unit_vectors_of_training_images(tmp_path: Path) -> None:
    bench, network = tiny_bench(tmp_path), tiny_resnet()
    vectors = bank(DenseRun(network, nn.Linear(8, 4), 0), bench, bench.settings.recipe(0))
    assert vectors.shape == (24, 8)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(24))
    first = bench.settings.preprocessing([bench.data.train.image(0)])
    with torch.no_grad():
        torch.testing.assert_close(vectors[:1], F.normalize(network(torch.from_numpy(first)), dim=1))
