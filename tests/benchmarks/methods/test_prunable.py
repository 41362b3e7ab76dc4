from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.benchmarks.methods import METHODS
from prunnet_export.benchmarks.methods.prunable import Prunable
from prunnet_export.training import Recipe
from prunnet_export.training._draw import draw_subnetworks
from tests._inputs import tiny_resnet
from tests.benchmarks._bench import tiny_bench, tiny_settings


def recipe(name: str, **settings: object) -> Recipe:
    method = METHODS[name]
    assert isinstance(method, Prunable)
    return method.recipe(tiny_settings(**settings), 0)


def test_the_rules() -> None:
    assert recipe("channel").integration == recipe("unstructured").integration == "progressive"
    assert recipe("joint").integration == recipe("joint-unstructured").integration == "sum"
    assert (recipe("prunnet").integration, recipe("prunnet").gamma) == ("last-conflict", 0.5)


def test_the_released_method_has_its_own_capacities() -> None:
    made = recipe("prunnet", train_capacities=(0.5,), random_capacities=2)
    assert (made.capacities, made.random_capacities) == ((0.8, 0.6, 0.4, 0.2), 0)
    ours = recipe("channel", train_capacities=(0.5,), random_capacities=2)
    assert (ours.capacities, ours.random_capacities) == ((0.5,), 2)


def test_random_capacities_cost_what_was_drawn(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, train_capacities=(0.3,), random_capacities=2)
    cost = METHODS["channel"].train(bench, 0).cost
    assert 1 + 0.2 + 2 * 0.2 < cost < 1 + 0.3 + 2 * 0.95


def test_a_step_has_every_pattern_at_what_it_reaches() -> None:
    drawn = draw_subnetworks(recipe("patterns", channel_multiple=2), tiny_resnet(), step=0, steps=1)
    assert [(one.pattern, one.asked) for one in drawn] == [
        ("channel", 0.6),
        ("channel", 0.3),
        ("2:4", 0.5),
        ("block", 0.6),
        ("block", 0.3),
        ("unstructured", 0.6),
        ("unstructured", 0.3),
    ]


@pytest.mark.parametrize("method", ["channel", "joint"])
def test_integration_is_the_only_difference_and_joint_is_plain(method: str) -> None:
    ours, theirs = (recipe(one, dense_first=0.2, distillation=1.0) for one in ("channel", method))
    differ = {field for field in ours.__struct_fields__ if getattr(ours, field) != getattr(theirs, field)}
    assert differ == ({"integration", "dense_first", "distillation"} if method == "joint" else set())
