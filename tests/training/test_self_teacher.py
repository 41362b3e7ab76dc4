"""A backbone that is its own teacher: the network starts as the teacher, whatever the lengths of its vectors are."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from prunnet_export._errors import InvalidInput
from prunnet_export._files import sha256
from prunnet_export.network import build_embedder
from prunnet_export.training._match_model import match_model
from prunnet_export.training._matching_start import new_matching_trainee
from prunnet_export.training._recipe import MatchSettings, Recipe
from prunnet_export.training._self_teacher import SelfTeacher, check_weights
from tests._inputs import randomise, retrieval_data, tiny_recipe


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    recipe = tiny_recipe()
    source = build_embedder("resnet18", dim=4, preprocessing=recipe.preprocessing, options=recipe.backbone_options)
    randomise(source)
    file = tmp_path / "weights.safetensors"
    save_file({name: one.contiguous() for name, one in source.backbone.state_dict().items()}, file)
    return file


def recipe_of(weights: Path) -> Recipe:
    return tiny_recipe(weights_sha256=sha256(weights))


def test_the_dense_network_equals_the_teacher_at_step_0(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path / "cache"))
    data, recipe = retrieval_data(60), recipe_of(weights)
    teacher = SelfTeacher(recipe, weights)
    match = match_model(
        teacher, data.train, views=0, seed=0, flip=False, workers=0, progress=lambda _done, _all, _text: None
    )
    settings = MatchSettings(teacher=match.name, kind=match.kind, sha256=match.sha256)
    recipe = msgspec.structs.replace(recipe, match=settings, embedding_dim=teacher.dim)
    trainee = new_matching_trainee(recipe, match, data, classes=4, weights=weights)
    inputs = recipe.preprocessing([data.query.image(index) for index in range(8)])
    with torch.no_grad():
        found = trainee.network.eval()(torch.from_numpy(inputs)).numpy()
    expected = teacher.run(inputs)
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() >= 0.9999


def test_its_identity_follows_from_weights_and_preprocessing(weights: Path) -> None:
    recipe = recipe_of(weights)
    wider = msgspec.structs.replace(recipe.preprocessing, resize=20)
    others = [
        msgspec.structs.replace(recipe, weights_sha256="0" * 64),
        msgspec.structs.replace(recipe, preprocessing=wider),
    ]
    identities = {SelfTeacher(one, weights).identity for one in (recipe, recipe, *others)}
    assert len(identities) == 3


def test_without_weights_there_is_nothing_to_match() -> None:
    with pytest.raises(InvalidInput, match="no weights"):
        check_weights(None)
