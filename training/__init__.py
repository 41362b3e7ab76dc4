"""Training: data, losses, gradient integration, the loop and ``prunnet-train``.

Names are imported when they are first used, so that :class:`Recipe` can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunnet_export._imports import lazy_names

if TYPE_CHECKING:
    from prunnet_export.training._allocator import keep_freed_memory
    from prunnet_export.training._batches import Batch, Targets, TrainingBatches
    from prunnet_export.training._device import choose_device
    from prunnet_export.training._distributed import ALONE, Ranks, ranks_of_environment
    from prunnet_export.training._held_out import held_out
    from prunnet_export.training._images import check_images, images_digest
    from prunnet_export.training._integration import Grams, Integration, conflict_aware, orders
    from prunnet_export.training._loop import reestimate_dense_batchnorm, train
    from prunnet_export.training._match import Match, match
    from prunnet_export.training._match_options import (
        SELF,
        MatchOptions,
        match_options,
        open_match,
        open_model,
        take_match_options,
        vector_file,
        with_teacher,
    )
    from prunnet_export.training._matching import Matching, centred_cosines
    from prunnet_export.training._matching_start import new_matching_trainee, start_matching
    from prunnet_export.training._objectives import Objective
    from prunnet_export.training._optimization import optimization
    from prunnet_export.training._options import (
        recipe_option,
        recipe_options,
        take_preprocessing,
        take_recipe,
        weights_options,
    )
    from prunnet_export.training._recipe import CommonSettings, MatchSettings, Recipe
    from prunnet_export.training._step import Gradients, SubnetworkGradients, take_step
    from prunnet_export.training._trainee import Trainee, allocate_widths, new_network, new_optimizer, new_trainee
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "_allocator": ("keep_freed_memory",),
            "_batches": ("Batch", "Targets", "TrainingBatches"),
            "_device": ("choose_device",),
            "_distributed": ("ALONE", "Ranks", "ranks_of_environment"),
            "_held_out": ("held_out",),
            "_images": ("check_images", "images_digest"),
            "_integration": ("Grams", "Integration", "conflict_aware", "orders"),
            "_loop": ("reestimate_dense_batchnorm", "train"),
            "_match": ("Match", "match"),
            "_match_options": (
                "SELF",
                "MatchOptions",
                "match_options",
                "open_match",
                "open_model",
                "take_match_options",
                "vector_file",
                "with_teacher",
            ),
            "_matching": ("Matching", "centred_cosines"),
            "_matching_start": ("new_matching_trainee", "start_matching"),
            "_objectives": ("Objective",),
            "_optimization": ("optimization",),
            "_options": ("recipe_option", "recipe_options", "take_preprocessing", "take_recipe", "weights_options"),
            "_recipe": ("CommonSettings", "MatchSettings", "Recipe"),
            "_step": ("Gradients", "SubnetworkGradients", "take_step"),
            "_trainee": ("Trainee", "allocate_widths", "new_network", "new_optimizer", "new_trainee"),
        },
    )

__all__ = [
    "ALONE",
    "SELF",
    "Batch",
    "CommonSettings",
    "Gradients",
    "Grams",
    "Integration",
    "Match",
    "MatchOptions",
    "MatchSettings",
    "Matching",
    "Objective",
    "Ranks",
    "Recipe",
    "SubnetworkGradients",
    "Targets",
    "Trainee",
    "TrainingBatches",
    "allocate_widths",
    "centred_cosines",
    "check_images",
    "choose_device",
    "conflict_aware",
    "held_out",
    "images_digest",
    "keep_freed_memory",
    "match",
    "match_options",
    "new_matching_trainee",
    "new_network",
    "new_optimizer",
    "new_trainee",
    "open_match",
    "open_model",
    "optimization",
    "orders",
    "ranks_of_environment",
    "recipe_option",
    "recipe_options",
    "reestimate_dense_batchnorm",
    "start_matching",
    "take_match_options",
    "take_preprocessing",
    "take_recipe",
    "take_step",
    "train",
    "vector_file",
    "weights_options",
    "with_teacher",
]
