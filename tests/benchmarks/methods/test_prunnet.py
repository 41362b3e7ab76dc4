from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.benchmarks.methods.prunnet import (
    Channel,
    Joint,
    JointUnstructured,
    Patterns,
    Prunable,
    Released,
    Unstructured,
)
from prunnet_export.training._draw import draw_subnetworks
from prunnet_export.training._integration import ConflictAware
from prunnet_export.training._recipe import Recipe
from tests._inputs import tiny_resnet
from tests.benchmarks._bench import tiny_bench, tiny_settings


def recipe(method: type[Prunable], **settings: object) -> Recipe:
    return tiny_settings(**settings).recipe(0, patterns=method.patterns, **method.changed)


def integration(method: type[Prunable]) -> ConflictAware:
    found = method().integration(recipe(method))
    assert isinstance(found, ConflictAware)
    return found


def test_the_rules() -> None:
    assert integration(Channel).rule == integration(Unstructured).rule == "progressive"
    assert integration(Joint).rule == integration(JointUnstructured).rule == "sum"
    assert (integration(Released).rule, integration(Released).gamma) == ("last-conflict", 0.5)


def test_the_released_method_has_its_own_capacities() -> None:
    made = recipe(Released, train_capacities=(0.5,), random_capacities=2)
    assert (made.capacities, made.random_capacities) == ((0.8, 0.6, 0.4, 0.2), 0)
    ours = recipe(Channel, train_capacities=(0.5,), random_capacities=2)
    assert (ours.capacities, ours.random_capacities) == ((0.5,), 2)


def test_random_capacities_cost_what_was_drawn(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, train_capacities=(0.3,), random_capacities=2)
    cost = Channel().train(bench, 0).cost
    assert 1 + 0.2 + 2 * 0.2 < cost < 1 + 0.3 + 2 * 0.95


def test_a_step_has_every_pattern_at_what_it_reaches() -> None:
    drawn = draw_subnetworks(recipe(Patterns, channel_multiple=2), tiny_resnet(), step=0, steps=1)
    assert [(one.pattern, one.asked) for one in drawn] == [
        ("channel", 0.6),
        ("channel", 0.3),
        ("2:4", 0.5),
        ("block", 0.6),
        ("block", 0.3),
        ("unstructured", 0.6),
        ("unstructured", 0.3),
    ]


@pytest.mark.parametrize("method", [Channel, Joint])
def test_integration_is_the_only_difference_and_joint_is_plain(method: type[Prunable]) -> None:
    ours, theirs = (recipe(one, dense_first=0.2, distillation=1.0) for one in (Channel, method))
    differ = {field for field in ours.__struct_fields__ if getattr(ours, field) != getattr(theirs, field)}
    assert differ == ({"integration", "dense_first", "distillation"} if method is Joint else set())
