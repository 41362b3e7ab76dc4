"""A training run that starts from weights in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export._files import sha256
from prunnet_export.evaluating import statistics_inputs
from prunnet_export.network import load_checkpoint, scores_from
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns import allocate_by_cost
from prunnet_export.training import MatchSettings, _trainee
from prunnet_export.training._loop import train
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._trainee import allocate_widths, new_network, new_trainee
from prunnet_export.training._weights_start import start_from_weights
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import randomise, retrieval_data, tiny_recipe, tiny_resnet
from tests.training._killing import Killed, kill_at


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(tiny_resnet(seed=7).embedder.backbone.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def recipe_from(file: Path, **changed: Any) -> Recipe:
    return tiny_recipe(weights_sha256=sha256(file), **changed)


def test_the_dense_network_and_its_scores_start_from_the_file(file: Path) -> None:
    network = new_trainee(recipe_from(file), classes=4, weights=file).network
    backbone = network.embedder.backbone
    assert_same_tensors(
        dict(backbone.named_parameters()), dict(tiny_resnet(seed=7).embedder.backbone.named_parameters())
    )
    for name, weight in network.prunable_weights().items():
        assert torch.equal(network.scores()[name], scores_from(weight))


def test_what_the_file_does_not_hold_follows_from_the_seed(file: Path) -> None:
    with_weights, without = (
        new_trainee(recipe, classes=4, weights=weights)
        for recipe, weights in ((recipe_from(file), file), (tiny_recipe(), None))
    )
    assert torch.equal(with_weights.network.embedder.projector.weight, without.network.embedder.projector.weight)
    assert torch.equal(with_weights.classifier.weight, without.classifier.weight)


def test_a_killed_run_goes_on_without_the_file(file: Path, tmp_path: Path) -> None:
    recipe = recipe_from(file)
    whole = train(recipe, retrieval_data(), tmp_path / "whole", weights=file)
    with pytest.raises(Killed):
        train(recipe, retrieval_data(), tmp_path / "cut", weights=file, progress=kill_at(3))
    file.unlink()
    again = train(recipe, retrieval_data(), tmp_path / "cut", resume=True)
    assert_same_tensors(again.state_dict(), whole.state_dict())
    assert json.loads((tmp_path / "cut" / "recipe.json").read_bytes())["weights_sha256"] == recipe.weights_sha256
    assert str(tmp_path) not in (tmp_path / "cut" / "recipe.json").read_text("utf-8")


def test_channel_cuts_of_weights_have_widths_of_their_own(file: Path, tmp_path: Path) -> None:
    network = train(recipe_from(file, epochs=1), retrieval_data(), tmp_path / "run", weights=file)
    assert network.unit_ranks()
    assert_same_tensors(load_checkpoint(tmp_path / "run").network.unit_ranks(), network.unit_ranks())
    only_zeros = recipe_from(file, epochs=1, patterns=("unstructured",))
    assert not train(only_zeros, retrieval_data(), tmp_path / "zeros", weights=file).unit_ranks()


def test_channel_cuts_of_random_weights_have_the_widths_of_their_costs(tmp_path: Path) -> None:
    trained, new = train(tiny_recipe(epochs=1), retrieval_data(), tmp_path / "random"), tiny_resnet(crop=16)
    allocate_widths(new, tiny_recipe(), classes=4)
    assert_same_tensors(trained.unit_ranks(), new.unit_ranks())
    assert_same_tensors(load_checkpoint(tmp_path / "random").network.unit_ranks(), new.unit_ranks())
    only_zeros = tiny_recipe(epochs=1, patterns=("unstructured",))
    assert not train(only_zeros, retrieval_data(), tmp_path / "zeros").unit_ranks()


def test_the_rank_of_embeddings_follows_from_the_classes_or_the_teacher() -> None:
    match = MatchSettings(teacher="their.npz", kind="vectors", sha256="0" * 64)
    recipe = tiny_recipe(capacities=(0.6, 0.3), channel_multiple=2, embedding_dim=64)
    expected = {}
    for rank in (1, 3, 23, 64):
        new = tiny_resnet(crop=16)
        allocate_by_cost(new, rank=rank, smallest=0.3, multiple=2)
        expected[rank] = torch.cat(list(new.unit_ranks().values()))
    assert torch.equal(expected[1], expected[3])
    assert torch.equal(expected[23], expected[64])
    assert not torch.equal(expected[3], expected[23])
    for network, rank in (
        (new_network(recipe, classes=1), 1),
        (new_network(recipe, classes=4), 3),
        (new_network(recipe, classes=24), 23),
        (new_network(recipe, classes=1000), 64),
        (new_network(tiny_recipe(capacities=(0.6, 0.3), channel_multiple=2, embedding_dim=64, match=match)), 64),
    ):
        assert torch.equal(torch.cat(list(network.unit_ranks().values())), expected[rank])


@pytest.mark.parametrize("patterns", [("unstructured", "channel"), ("channel+2:4",)])
def test_every_recipe_with_fewer_channels_has_widths(patterns: tuple[str, ...]) -> None:
    assert new_trainee(tiny_recipe(patterns=patterns, capacities=(0.4,)), classes=2).network.unit_ranks()


def test_a_run_of_before_keeps_its_uniform_widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state has no ranks, and it ends as it would have ended then."""
    with monkeypatch.context() as before:
        before.setattr(_trainee, "allocate_by_cost", lambda _network, **_options: None)
        whole = train(tiny_recipe(), retrieval_data(), tmp_path / "whole")
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path / "cut", progress=kill_at(2))
    again = train(tiny_recipe(), retrieval_data(), tmp_path / "cut", resume=True)
    assert not again.unit_ranks()
    assert_same_tensors(again.state_dict(), whole.state_dict())


def test_a_backbone_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    options: dict[str, BackboneOption] = {"depth": 1, "embed_dim": 48, "num_heads": 3, "patch_size": 8}
    recipe = tiny_recipe(backbone="eva02_tiny_patch14_224", backbone_options=options)
    with pytest.raises(UnsupportedPattern, match="cannot be cut") as raised:
        train(recipe, retrieval_data(), tmp_path / "run")
    assert_one_line(raised.value)
    assert not list((tmp_path / "run").glob("*"))


def test_a_run_is_weights_for_the_next_one(file: Path, tmp_path: Path) -> None:
    train(recipe_from(file, epochs=1), retrieval_data(), tmp_path / "first", weights=file)
    trained = tmp_path / "first" / "network.safetensors"
    network = train(recipe_from(trained, epochs=1), retrieval_data(), tmp_path / "next", weights=trained)
    assert network.unit_ranks()


def test_a_run_from_random_weights_names_none(tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), retrieval_data(), tmp_path / "run")
    assert "weights_sha256" not in json.loads((tmp_path / "run" / "config.json").read_bytes())["training"]


def assert_refused(match: str, recipe: Recipe, out: Path, **given: Any) -> None:
    with pytest.raises(InvalidInput, match=match) as raised:
        train(recipe, retrieval_data(), out, **given)
    assert_one_line(raised.value)
    assert not list(out.glob("*"))


def test_a_new_run_needs_the_file(file: Path, tmp_path: Path) -> None:
    assert_refused("starts from weights, and no file is given", recipe_from(file), tmp_path / "run")


def test_the_file_has_to_be_the_one_of_the_recipe(file: Path, tmp_path: Path) -> None:
    assert_refused("is not the file that the recipe starts from", tiny_recipe(), tmp_path / "run", weights=file)


def test_weights_of_another_backbone_leave_nothing_behind(file: Path, tmp_path: Path) -> None:
    other = recipe_from(file, backbone_options={"channels": [8, 16, 24, 40]})
    assert_refused("does not fit the backbone: .* of another shape", other, tmp_path / "run", weights=file)


def randomised(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state whose BatchNorm statistics are not those of the images of the run."""
    randomise(module)
    return module.state_dict()


def test_training_begins_with_what_the_weights_compute(tmp_path: Path) -> None:
    """Batch statistics would otherwise change the features of the weights at the first step."""
    file, data = tmp_path / "weights.pth", retrieval_data()
    torch.save(randomised(tiny_resnet(seed=7).embedder.backbone), file)
    recipe = recipe_from(file)
    network = new_trainee(recipe, classes=4, weights=file).network
    inputs = torch.cat(list(statistics_inputs(data.train, recipe.preprocessing, recipe.statistics_images)))
    with torch.no_grad():
        expected = network.embedder.eval().features(inputs)
        unprepared = network.embedder.train().features(inputs)
    network = new_trainee(recipe, classes=4, weights=file).network
    start_from_weights(network, recipe, data, None)
    assert network.training
    with torch.no_grad():
        torch.testing.assert_close(network.embedder.eval().features(inputs), expected, rtol=1e-3, atol=1e-4)
        prepared = network.embedder.train().features(inputs)
    assert float((prepared - expected).norm()) < 0.02 * float((unprepared - expected).norm())
