"""The optimizer, learning rate, schedule and weight decay of a training whose user does not say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunnet_export.training._recipe import LEARNING_RATE, OPTIMIZER, SCHEDULE, WEIGHT_DECAY, CommonSettings, Optimizer

OPTIMIZER_OF_MATCH: Optimizer = "adamw"  # docs/methods.md: it comes nearer to a teacher than sgd
LEARNING_RATE_OF_WEIGHTS: dict[Optimizer, float] = {"sgd": 0.01, "adamw": 0.0005}
_FIELDS = ("optimizer", "learning_rate", "schedule", "weight_decay")


def optimization(
    given: Mapping[str, Any], *, match: bool, weights: bool, before: CommonSettings | None = None
) -> dict[str, Any]:
    """The optimizer, learning rate, schedule and weight decay of a recipe.

    Args:
        given: What the user gives of them; the others are missing or None.
        match: Whether the training has a teacher.
        weights: Whether the network starts from weights.
        before: The recipe of the run that is resumed. It decides what the user does not give.
    """
    said = {name: given[name] for name in _FIELDS if given.get(name) is not None}
    if before is not None:
        return {name: getattr(before, name) for name in _FIELDS} | said
    optimizer = said.get("optimizer") or (OPTIMIZER_OF_MATCH if match else OPTIMIZER)
    return {
        "optimizer": optimizer,
        "learning_rate": (LEARNING_RATE_OF_WEIGHTS if weights else LEARNING_RATE)[optimizer],
        "schedule": SCHEDULE,
        "weight_decay": WEIGHT_DECAY[optimizer],
    } | said
