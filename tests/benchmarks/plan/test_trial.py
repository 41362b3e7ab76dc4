"""Two trials: from the same start, one four times as long as the other, and neither longer than the training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from prunnet_export.benchmarks.plan import _trial
from prunnet_export.benchmarks.plan._sample import take_sample
from prunnet_export.benchmarks.plan._teacher import FileSource
from prunnet_export.benchmarks.plan._trial import Progress, Trials, run_trials
from prunnet_export.datasets import open_dataset
from prunnet_export.training import Batch, Recipe, Trainee
from prunnet_export.vectors import open_vectors
from tests._inputs import tiny_recipe
from tests.benchmarks.plan._plans import OPTIONS, write_images, write_vectors

ADAMW = {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.05}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("trial") / "images")


def trials(images: Path, recipe: Recipe, *, minutes: float) -> Trials:
    data = open_dataset(str(images))
    source = FileSource(open_vectors(write_vectors(images.parent / "v.npz", images)))
    sample = take_sample(recipe, data, source, OPTIONS, images=80)
    device = torch.device("cpu")
    return run_trials(sample, data, weights=None, minutes=minutes, device=device, workers=0)


@pytest.mark.parametrize("changed", [{}, ADAMW])
def test_both_start_from_the_same_new_network(images: Path, changed: dict[str, object]) -> None:
    starts: list[tuple[int, list[Tensor], bool]] = []
    train = _trial._train

    def spy(recipe: Recipe, trainee: Trainee, batches: Iterator[Batch], steps: int, *progress: Progress) -> list[float]:
        values = [parameter.detach().clone() for parameter in trainee.parameters()]
        stepped = {id(one) for group in trainee.optimizer.param_groups for one in group["params"]}
        assert stepped == {id(one) for one in trainee.parameters()}
        starts.append((steps, values, not trainee.optimizer.state))
        seconds = train(recipe, trainee, batches, steps, *progress)
        assert not torch.equal(values[0], trainee.parameters()[0])
        return seconds

    with patch.object(_trial, "_train", spy):
        found = trials(images, tiny_recipe(epochs=5, **changed), minutes=10)
    assert [steps for steps, _, _ in starts] == [3, found.shorter.steps, found.longer.steps]
    assert all(fresh for _, _, fresh in starts)
    for _, values, _ in starts[1:]:
        assert all(map(torch.equal, starts[0][1], values))


def test_the_longer_one_is_never_longer_than_the_training(images: Path) -> None:
    found = trials(images, tiny_recipe(epochs=5), minutes=10)
    assert (found.shorter.steps, found.longer.steps) == (6, 25)
    assert found.shorter.scores.keys() == found.longer.scores.keys() >= {1.0, 0.6}
    assert found.seconds_per_step > 0


def test_without_time_there_are_still_two_trials(images: Path) -> None:
    found = trials(images, tiny_recipe(epochs=5), minutes=0)
    assert (found.shorter.steps, found.longer.steps) == (1, 2)


def test_the_minutes_are_those_of_both(images: Path) -> None:
    with patch.object(_trial, "median", lambda _seconds: 0.5):
        found = trials(images, tiny_recipe(epochs=20), minutes=10 * 0.5 / 60)
    assert (found.shorter.steps, found.longer.steps) == (2, 8)
