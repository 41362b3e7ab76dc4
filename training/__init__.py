"""Training: data, losses, gradient integration, the loop and ``prunnet-train``.

Names are imported when they are first used, so that :class:`Recipe` can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunnet_export._imports import lazy_names

if TYPE_CHECKING:
    from prunnet_export.training._allocator import keep_freed_memory
    from prunnet_export.training._batches import Batch, TrainingBatches
    from prunnet_export.training._integration import Grams, Integration, conflict_aware, orders
    from prunnet_export.training._loop import reestimate_dense_batchnorm, train
    from prunnet_export.training._options import recipe_option, recipe_options
    from prunnet_export.training._recipe import CommonSettings, Recipe
    from prunnet_export.training._step import Gradients, SubnetworkGradients, take_step
    from prunnet_export.training._trainee import new_optimizer, new_trainee
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "_allocator": ("keep_freed_memory",),
            "_batches": ("Batch", "TrainingBatches"),
            "_integration": ("Grams", "Integration", "conflict_aware", "orders"),
            "_loop": ("reestimate_dense_batchnorm", "train"),
            "_options": ("recipe_option", "recipe_options"),
            "_recipe": ("CommonSettings", "Recipe"),
            "_step": ("Gradients", "SubnetworkGradients", "take_step"),
            "_trainee": ("new_optimizer", "new_trainee"),
        },
    )

__all__ = [
    "Batch",
    "CommonSettings",
    "Gradients",
    "Grams",
    "Integration",
    "Recipe",
    "SubnetworkGradients",
    "TrainingBatches",
    "conflict_aware",
    "keep_freed_memory",
    "new_optimizer",
    "new_trainee",
    "orders",
    "recipe_option",
    "recipe_options",
    "reestimate_dense_batchnorm",
    "take_step",
    "train",
]
