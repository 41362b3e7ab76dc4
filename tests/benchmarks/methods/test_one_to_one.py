from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunnet_export.benchmarks.methods import METHODS, Bench
from prunnet_export.benchmarks.methods.dense import DenseRun
from prunnet_export.benchmarks.methods.one_to_one import Criterion, OwnClassifier, bct, independent
from prunnet_export.benchmarks.methods.slices import first_units
from prunnet_export.training import Recipe
from tests._inputs import tiny_resnet
from tests.benchmarks._bench import tiny_bench

Criteria = Callable[[DenseRun, Bench, Recipe], Callable[[], Criterion]]
EMBEDDING = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
IMAGES, LABELS = torch.zeros(6, 3, 32, 32), torch.arange(6) % 4


def criterion(criteria: Criteria, folder: Path, classifier: nn.Linear) -> nn.Module:
    bench = tiny_bench(folder)
    return criteria(DenseRun(tiny_resnet(), classifier, 0), bench, bench.settings.recipe(0))()


def frozen() -> nn.Linear:
    torch.manual_seed(4)
    return nn.Linear(8, 4).requires_grad_(requires_grad=False)


def test_independent_is_the_cross_entropy_of_its_own_classifier(tmp_path: Path) -> None:
    own = criterion(independent, tmp_path, frozen())
    assert isinstance(own, OwnClassifier)
    torch.testing.assert_close(own(EMBEDDING, IMAGES, LABELS), F.cross_entropy(own.own(EMBEDDING), LABELS))
    assert len(list(own.parameters())) == 2


def test_bct_adds_that_of_the_frozen_classifier(tmp_path: Path) -> None:
    dense = frozen()
    both = criterion(bct, tmp_path, dense)
    assert isinstance(both, OwnClassifier)
    embedding = EMBEDDING.clone().requires_grad_()
    loss = both(embedding, IMAGES, LABELS)
    expected = F.cross_entropy(both.own(EMBEDDING), LABELS) + F.cross_entropy(dense(EMBEDDING), LABELS)
    torch.testing.assert_close(loss, expected)
    torch.autograd.backward(loss)
    assert dense.weight.grad is None
    assert both.own.weight.grad is not None
    assert embedding.grad is not None


def test_students_do_not_share_a_classifier(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path)
    make = independent(DenseRun(tiny_resnet(), frozen(), 0), bench, bench.settings.recipe(0))
    first, second = make(), make()
    assert first is not second
    assert not {id(one) for one in first.parameters()} & {id(one) for one in second.parameters()}


@pytest.mark.parametrize("capacity", [0.2, 0.5, 0.9])
def test_a_student_is_the_first_units(capacity: float) -> None:
    network = tiny_resnet()
    cut = first_units(network, capacity, channel_multiple=2)
    assert 0.5 * capacity < cut.capacity <= capacity
    for axes in cut._index.values():
        for kept in axes.values():
            assert torch.equal(kept, torch.arange(len(kept)))


def test_students_are_trained_and_of_their_own_size(tmp_path: Path) -> None:
    told: list[str] = []
    bench = replace(tiny_bench(tmp_path), progress=lambda what, _done, _steps: told.append(what))
    trained = METHODS["independent"].train(bench, 0)
    [queries] = trained.queries.values()
    assert told == [f"{what}, seed 0" for what in ("dense", "independent 60%", "independent 30%") for _ in range(2)]
    networks = (trained.dense, queries[0.6], queries[0.3])
    sizes = [sum(one.numel() for one in network.parameters()) for network in networks]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_what_is_not_evaluated_is_not_trained(tmp_path: Path) -> None:
    trained = METHODS["independent"].train(
        tiny_bench(tmp_path, train_capacities=(1.0, 0.6, 0.3), capacities=(0.3, 0.2)), 0
    )
    assert list(trained.queries["independent"]) == [0.3]
    assert trained.cost < 1.3
