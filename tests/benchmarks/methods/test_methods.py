"""What holds for every method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prunnet_export.benchmarks.methods import METHODS, Trained
from prunnet_export.network import reestimate_batchnorm
from tests._asserts import assert_healthy, assert_same_tensors
from tests._inputs import images
from tests.benchmarks._bench import tiny_bench

IMAGES = images(8, 32)
ONE_TO_ONE = {"independent", "bct", "aml", "csd", "ssp"}
ROWS = {"patterns": ["patterns, channel", "patterns, 2:4", "patterns, block", "patterns, unstructured"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the dense network is kept that several methods share."""
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="module", params=METHODS)
def trained(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Trained]:
    name: str = request.param
    return name, METHODS[name].train(tiny_bench(folder), 0)


def test_every_capacity_that_is_offered_embeds(trained: tuple[str, Trained]) -> None:
    name, result = trained
    assert list(result.queries) == ROWS.get(name, [name])
    for row, queries in result.queries.items():
        expected = {0.5} if row.endswith("2:4") else {0.6, 0.3, *([] if name in ONE_TO_ONE else [0.45])}
        assert set(queries) == expected
        for module in (result.dense, *queries.values()):
            reestimate_batchnorm(module, [IMAGES])
            with torch.no_grad():
                embedding = module(IMAGES)
            assert embedding.shape == (8, 8)
            assert_healthy(embedding)


def test_seconds_and_cost(trained: tuple[str, Trained]) -> None:
    name, result = trained
    assert result.seconds > 0
    # Narrow networks keep at most what was asked for; masks cost a whole pass; a teacher costs a forward pass.
    masked = {"unstructured": 3, "block": 3, "prunnet": 5, "joint-unstructured": 3, "dense": 1, "magnitude": 1}
    low, high = (1 + 0.8, 1 + 0.9)
    if name in masked:
        low = high = masked[name]
    elif name == "patterns":
        low, high = low + 5, high + 5
    elif name in {"aml", "csd", "ssp"}:
        low, high = low + 2 / 3, high + 2 / 3
    assert low <= result.cost <= high


def test_names_are_those_of_the_methods() -> None:
    assert all(method.name == name for name, method in METHODS.items())
    assert next(iter(METHODS)) == "dense"


@pytest.mark.parametrize("name", ["channel", "sfsc", "gradvac", "aml"])
def test_the_same_seed_gives_the_same_network(name: str, folder: Path) -> None:
    bench = tiny_bench(folder)
    first, second, other = (METHODS[name].train(bench, seed).queries[name][0.3].state_dict() for seed in (0, 0, 1))
    assert_same_tensors(first, second)
    assert any(not torch.equal(first[key], other[key]) for key in first)
