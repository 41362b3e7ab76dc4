"""The choice of the subnetworks that a step trains."""

from __future__ import annotations

import numpy as np

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork, find_pattern
from prunnet_export.training._recipe import Recipe

_WIDEST = 0.95  # a larger subnetwork is almost the dense network, which every step trains


def draw_subnetworks(recipe: Recipe, network: PrunableNetwork, *, step: int, steps: int) -> list[Subnetwork]:
    """The subnetworks of a step out of ``steps``, from the current scores.

    There are none in the first steps if the recipe trains the dense network alone there. Later, each pattern has one
    subnetwork at every capacity of the recipe, and ``random_capacities`` more above the smallest of these. For these
    the logarithmic range up to the dense network is divided into equal parts, and one capacity is drawn in each part.
    With one fixed capacity, the smallest, this is the sandwich rule of universally slimmable networks.

    Raises:
        InvalidInput: a capacity is below those that the pattern can reach, or all of them are above.
        UnsupportedPattern: the network cannot be cut like this.
    """
    if step < recipe.dense_first * steps:
        return []
    generator = np.random.default_rng((recipe.seed, step))
    chosen: list[Subnetwork] = []
    for name in recipe.patterns:
        pattern = find_pattern(name, recipe.channel_multiple)
        capacities = pattern.shares([*recipe.capacities, *_random_capacities(recipe, generator)])
        chosen += pattern.subnetworks(network, capacities)
    return chosen


def _random_capacities(recipe: Recipe, generator: np.random.Generator) -> list[float]:
    count = recipe.random_capacities
    if count == 0:
        return []
    parts = (np.arange(count) + generator.random(count)) / count
    least = min(recipe.capacities)
    low, high = np.log(least), np.log(max(_WIDEST, least))
    return [max(least, round(float(np.exp(low + part * (high - low))), 4)) for part in parts]
