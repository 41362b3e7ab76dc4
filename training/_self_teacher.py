"""The teacher of ``--match self``: the backbone with the weights that the run starts from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.network import build_embedder, load_weights
from prunnet_export.network_config import TeacherKind
from prunnet_export.teachers import Floats, Teacher, identity_of
from prunnet_export.training._recipe import Recipe


class SelfTeacher(Teacher):
    """The pooled features of the recipe's backbone with given weights.

    Args:
        recipe: The recipe, for the backbone and the preprocessing.
        weights: The file of the weights.
        threads: Threads of torch in this process; None leaves them as they are.

    Raises:
        InvalidInput: the weights do not fit, or the backbone cannot be built.
    """

    kind: ClassVar[TeacherKind] = "self"

    def __init__(self, recipe: Recipe, weights: Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._embedder = build_embedder(
            recipe.backbone, dim=2, preprocessing=recipe.preprocessing, options=recipe.backbone_options
        )
        load_weights(self._embedder, weights)
        self._embedder.eval()
        self.name, self.preprocessing = recipe.backbone, recipe.preprocessing
        self.dim = self._embedder.projector.in_features
        self.identity = identity_of(
            backbone=recipe.backbone,
            options=recipe.backbone_options,
            weights=recipe.weights_sha256,
            preprocessing=recipe.preprocessing,
        )
        self.opener = partial(SelfTeacher, recipe, weights.absolute(), threads=1)

    def run(self, inputs: Floats) -> Floats:
        """See :class:`Teacher`."""
        with torch.inference_mode():
            found: Floats = self._embedder.features(torch.from_numpy(inputs)).numpy()
        return found


def check_weights(weights: Path | None) -> Path:
    """The weights of ``--match self``.

    Raises:
        InvalidInput: none are given.
    """
    if weights is None:
        raise InvalidInput("--match self has no weights to match", hint="add --weights FILE")
    return weights
