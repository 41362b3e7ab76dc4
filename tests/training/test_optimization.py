from __future__ import annotations

from typing import Any

import pytest

from prunnet_export.training import Recipe, optimization
from tests._inputs import tiny_recipe

FIELDS = ("optimizer", "learning_rate", "schedule", "weight_decay")


def chosen(given: dict[str, Any] | None = None, *, match: bool = False, weights: bool = False) -> tuple[Any, ...]:
    """The four fields of a recipe of a new run."""
    return fields(tiny_recipe(**optimization(given or {}, match=match, weights=weights)))


def fields(recipe: Recipe) -> tuple[Any, ...]:
    return tuple(getattr(recipe, name) for name in FIELDS)


@pytest.mark.parametrize(
    ("match", "weights", "expected"),
    [
        (False, False, ("sgd", 0.1, "cosine", 5e-4)),
        (False, True, ("sgd", 0.01, "cosine", 5e-4)),
        (True, False, ("adamw", 0.004, "cosine", 0.05)),
        (True, True, ("adamw", 0.0005, "cosine", 0.05)),
    ],
)
def test_defaults_depend_on_teacher_and_weights(*, match: bool, weights: bool, expected: tuple[Any, ...]) -> None:
    assert chosen(match=match, weights=weights) == expected
    assert chosen(dict.fromkeys(FIELDS), match=match, weights=weights) == expected


def test_rate_and_decay_are_those_of_the_optimizer_that_is_given() -> None:
    assert chosen({"optimizer": "adamw"}) == ("adamw", 0.004, "cosine", 0.05)
    assert chosen({"optimizer": "sgd"}, match=True, weights=True) == ("sgd", 0.01, "cosine", 5e-4)


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_given_is_kept(name: str) -> None:
    given = {"optimizer": "sgd", "learning_rate": 0.3, "schedule": "step", "weight_decay": 0.0}[name]
    result = dict(zip(FIELDS, chosen({name: given}, match=True), strict=True))
    assert result[name] == given


def test_a_resumed_run_decides_what_is_not_given() -> None:
    before = tiny_recipe(optimizer="sgd", learning_rate=0.2, schedule="step", weight_decay=0.001)
    again = optimization({"learning_rate": 0.3, "schedule": None}, match=True, weights=True, before=before)
    assert again == {"optimizer": "sgd", "learning_rate": 0.3, "schedule": "step", "weight_decay": 0.001}


def test_the_recipe_of_python_is_that_of_labels_and_random_weights() -> None:
    defaults = Recipe(data=tiny_recipe().data, preprocessing=tiny_recipe().preprocessing)
    assert fields(defaults) == chosen()
