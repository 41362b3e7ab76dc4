"""Runs with a teacher: what they start from, what they end with, and that a killed one ends where another does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prunnet_export._errors import InvalidInput
from prunnet_export._files import sha256
from prunnet_export.datasets import Labels, RetrievalData
from prunnet_export.evaluating import settling_pairs
from prunnet_export.network import PrunableNetwork, fit_projector, load_checkpoint
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.teachers import load_sample
from prunnet_export.training._loop import train
from prunnet_export.training._match import Match, Vectors, match
from prunnet_export.training._recipe import MatchSettings, Recipe
from tests._asserts import assert_same_tensors
from tests._inputs import retrieval_data, tiny_recipe, tiny_resnet
from tests.training._killing import Killed, kill_at

COUNT, DIM = 64, 6


def data() -> RetrievalData:
    return retrieval_data(COUNT)


def teacher() -> Match:
    """Vectors that follow from the mean colour of an image, with a large common part."""
    split = data().train
    colours = np.stack([np.asarray(split.image(row), np.float32).mean((0, 1)) / 255 for row in range(COUNT)])
    vectors = 1 + np.sin(3 * colours @ np.random.default_rng(0).normal(size=(3, DIM))).astype(np.float32)

    def take(rows: Labels, _views: Labels) -> Vectors:
        return vectors[rows]

    return match(take, np.ones(COUNT, np.bool_), split, name="their.npz", kind="vectors", sha256="1" * 64)


def recipe(**changed: Any) -> Recipe:
    settings = MatchSettings(teacher="their.npz", kind="vectors", sha256="1" * 64)
    return tiny_recipe(embedding_dim=DIM, match=settings, **changed)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrunableNetwork, Path]:
    out = tmp_path_factory.mktemp("finished") / "run"
    return train(recipe(), data(), out, match=teacher()), out


def test_the_checkpoint_names_the_teacher_and_brings_its_vectors(finished: tuple[PrunableNetwork, Path]) -> None:
    network, out = finished
    loaded = load_checkpoint(out)
    assert_same_tensors(loaded.network.state_dict(), network.state_dict())
    assert loaded.config.teacher == teacher().entry(sha256(out / TEACHER_FILE))
    sample = load_sample(out / TEACHER_FILE)
    assert sample.names == teacher().sample.names
    np.testing.assert_array_equal(sample.embeddings, teacher().sample.embeddings)


def test_the_dense_projector_ends_as_the_best_map_to_the_vectors(finished: tuple[PrunableNetwork, Path]) -> None:
    embedder, preprocessing = load_checkpoint(finished[1]).network.embedder, recipe().preprocessing

    def distance() -> float:
        with torch.no_grad():
            pairs = settling_pairs(data().train, teacher().sample, preprocessing)
            return float(torch.cat([(embedder(images) - vectors).square().sum(1) for images, vectors in pairs]).mean())

    before = distance()
    fit_projector(embedder, settling_pairs(data().train, teacher().sample, preprocessing))
    assert distance() == pytest.approx(before, rel=0.02)


def test_held_out_images_come_near_their_vectors(finished: tuple[PrunableNetwork, Path]) -> None:
    sample = teacher().sample
    row_of = {name: row for row, name in enumerate(data().train.relative_names)}
    queries = [row_of[name] for name, held in zip(sample.names, sample.is_query, strict=True) if held]
    inputs = recipe().preprocessing([data().train.image(row) for row in queries])
    with torch.no_grad():
        found = F.normalize(finished[0](torch.from_numpy(inputs)), dim=1)
    wanted = F.normalize(torch.from_numpy(sample.embeddings[sample.is_query]), dim=1)
    mean = torch.from_numpy(teacher().mean)
    assert float(F.cosine_similarity(found - mean, wanted - mean).mean()) > 0.8


@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_killed_run_ends_where_an_uninterrupted_one_does(
    finished: tuple[PrunableNetwork, Path], tmp_path: Path, step: int
) -> None:
    with pytest.raises(Killed):
        train(recipe(), data(), tmp_path, match=teacher(), progress=kill_at(step))
    torch.manual_seed(step)
    resumed = train(recipe(), data(), tmp_path, match=teacher(), resume=True)
    assert_same_tensors(resumed.state_dict(), finished[0].state_dict())


def test_another_teacher_is_refused_at_a_resume(finished: tuple[PrunableNetwork, Path]) -> None:
    other = msgspec.structs.replace(recipe(), match=MatchSettings(teacher="their.npz", kind="vectors", sha256="2" * 64))
    with pytest.raises(InvalidInput, match="match"):
        train(other, data(), finished[1], match=teacher(), resume=True)


def test_a_killed_run_from_weights_goes_on_without_the_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(tiny_resnet(seed=7).embedder.backbone.state_dict(), file)
    from_weights = recipe(weights_sha256=sha256(file))
    whole = train(from_weights, data(), tmp_path / "whole", match=teacher(), weights=file)
    assert whole.unit_ranks()
    with pytest.raises(Killed):
        train(from_weights, data(), tmp_path / "cut", match=teacher(), weights=file, progress=kill_at(3))
    again = train(from_weights, data(), tmp_path / "cut", match=teacher(), resume=True)
    assert_same_tensors(again.state_dict(), whole.state_dict())
