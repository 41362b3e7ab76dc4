"""Which subnetworks a step trains."""

from __future__ import annotations

import numpy as np

from prunnet_export.network import PrunableNetwork
from prunnet_export.patterns import Subnetwork, find_pattern
from prunnet_export.training._recipe import Recipe

_WIDEST = 0.95  # nearer to 1 a subnetwork is the dense network, which every step trains


def draw_subnetworks(recipe: Recipe, network: PrunableNetwork, *, step: int, steps: int) -> list[Subnetwork]:
    """The subnetworks of a step out of ``steps``, from the current scores.

    None in the first steps, where the recipe has the dense network train alone. Then, for each pattern, one at every
    capacity of the recipe, and ``random_capacities`` more between the smallest of them and the dense network, one in
    each of as many equal parts of the logarithmic range. With one capacity, the smallest, this is the sandwich rule
    (universally slimmable networks): what lies between is never left out.

    Raises:
        InvalidInput: a capacity is below what the pattern can reach, or all of them are above.
        UnsupportedPattern: the network cannot be cut like this.
    """
    if step < recipe.dense_first * steps:
        return []
    generator = np.random.default_rng((recipe.seed, step))
    chosen: list[Subnetwork] = []
    for name in recipe.patterns:
        pattern = find_pattern(name, recipe.channel_multiple)
        capacities = pattern.shares([*recipe.capacities, *_random(recipe, generator)])
        chosen += pattern.subnetworks(network, capacities)
    return chosen


def _random(recipe: Recipe, generator: np.random.Generator) -> list[float]:
    count = recipe.random_capacities
    if count == 0:
        return []
    parts = (np.arange(count) + generator.random(count)) / count
    least = min(recipe.capacities)
    low, high = np.log(least), np.log(max(_WIDEST, least))
    return [max(least, round(float(np.exp(low + part * (high - low))), 4)) for part in parts]
