"""The methods that answer a teacher's gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.methods import MATCHING, NESTED, MatchTrained
from prunnet_export.network import reestimate_batchnorm
from prunnet_export.training import TrainingBatches, new_matching_trainee, new_network, take_step
from tests._asserts import assert_healthy, assert_same_tensors
from tests._inputs import images
from tests.benchmarks._bench import tiny_match_bench

IMAGES = images(8, 32)


@pytest.fixture(scope="module", params=MATCHING)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, MatchTrained]:
    name: str = request.param
    return name, MATCHING[name].train(tiny_match_bench(tmp_path_factory.mktemp("matching")), 0)


def test_every_capacity_embeds(trained: tuple[str, MatchTrained]) -> None:
    name, result = trained
    assert set(result.queries()) == {1.0, 0.6, 0.3, *([0.45] if name == NESTED else [])}
    for module in result.queries().values():
        reestimate_batchnorm(module, [IMAGES])
        with torch.no_grad():
            embedding = module(IMAGES)
        assert embedding.shape == (8, 8)
        assert_healthy(embedding)


def test_cost_and_steps(trained: tuple[str, MatchTrained]) -> None:
    name, result = trained
    assert result.seconds > 0
    if name.endswith("-equal-cost"):  # one step instead of two, because the nested network costs 1 and these cost more
        assert result.steps == 1
        assert (1 + 0.8) / 2 <= result.cost <= (1 + 0.9) / 2
    else:
        assert result.steps == 2
        assert 1 + 0.8 <= result.cost <= 1 + 0.9  # narrow networks keep at most what was asked for


def test_names_are_those_of_the_methods() -> None:
    assert all(method.name == name for name, method in MATCHING.items())
    assert next(iter(MATCHING)) == NESTED


def test_random_capacities_cost_what_was_drawn(tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path, train_capacities=(0.3,), random_capacities=2, steps=4, dense_first=0.5)
    cost = MATCHING[NESTED].train(bench, 0).cost
    assert 1 + (0.2 + 2 * 0.2) / 2 < cost < 1 + (0.3 + 2 * 0.95) / 2


def test_students_have_capacities_of_their_own(tmp_path: Path) -> None:
    told: list[str] = []
    bench = tiny_match_bench(tmp_path, student_capacities=(0.45,), train_capacities=(0.3,))
    bench = replace(bench, progress=lambda what, _done, _steps: told.append(what))
    result = MATCHING["regression"].train(bench, 0)
    assert list(result.queries()) == [1.0, 0.45]
    assert told == [f"regression {share}, seed 0" for share in ("100%", "45%") for _ in range(2)]


def test_students_start_as_the_nested_network(tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path)
    recipe, match = bench.settings.recipe(0), bench.match(0)
    nested = new_matching_trainee(recipe, match, bench.data, classes=4).network.embedder.state_dict()
    fresh = new_network(recipe).embedder.state_dict()
    with patch.object(type(bench), "train", return_value=0.0):
        students = MATCHING["raml"].train(bench, 0).queries()
    assert_same_tensors(students[1.0].state_dict(), nested)
    narrow = students[0.3].state_dict()
    for name in (name for name in fresh if name.endswith(("conv1.weight", "conv2.weight"))):
        first = fresh[name][tuple(slice(size) for size in narrow[name].shape)]
        assert torch.equal(narrow[name], first), name
    # Its projector is fitted to features of its own.
    assert narrow["projector.weight"].shape[1] < nested["projector.weight"].shape[1]
    assert_same_tensors(
        {name: narrow[f"norm.{name}"] for name in ("weight", "bias")},
        {name: nested[f"norm.{name}"] for name in ("weight", "bias")},
    )


def test_the_dense_student_of_regression_is_the_nested_network_without_subnetworks(tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path, dense_first=0.99)  # the nested network has no subnetwork in its two steps
    nested, student = (MATCHING[name].train(bench, 0).queries()[1.0] for name in (NESTED, "regression"))
    assert_same_tensors(nested.state_dict(), student.state_dict())


def test_all_learn_from_the_same_images(tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path)
    seen: dict[str, list[torch.Tensor]] = {}
    for name in (NESTED, "csd"):

        def watched(*args: object, name: str = name, **facts: object) -> dict[str, float]:
            batches = args[3]
            assert isinstance(batches, list)
            [batch] = batches
            seen.setdefault(name, []).append(batch.images)
            assert batch.vectors is not None
            return take_step(*args, **facts)  # type: ignore[arg-type]

        with patch("prunnet_export.benchmarks.methods._base.take_step", watched):
            MATCHING[name].train(bench, 0)
    for one, other in zip(seen[NESTED], seen["csd"], strict=False):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", [NESTED, "d3still"])
def test_the_same_seed_gives_the_same_networks(name: str, tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path)
    first, second, other = (MATCHING[name].train(bench, seed).queries()[0.3].state_dict() for seed in (0, 0, 1))
    assert_same_tensors(first, second)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", [NESTED, "ssp"])
def test_what_cannot_be_cut_is_refused_before_training(name: str, tmp_path: Path) -> None:
    bench = tiny_match_bench(tmp_path, train_capacities=(0.6, 0.001), capacities=(0.6, 0.001))
    with (
        patch.object(TrainingBatches, "__init__", side_effect=AssertionError("trained")),
        pytest.raises(InvalidInput, match=r"capacity 0\.001 is below"),
    ):
        MATCHING[name].train(bench, 0)
