from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.training import Batch, new_optimizer
from tests._asserts import assert_one_line
from tests.benchmarks._bench import tiny_bench


def no_gradients(*_: object) -> dict[str, float]:
    return {"loss": 0.0}


def seen(folder: Path, *, seed: int = 0, steps: int = 5) -> tuple[list[Tensor], list[float], list[int]]:
    """The images, learning rates and draws of a run."""
    bench = tiny_bench(folder, steps=steps)
    recipe = bench.settings.recipe(seed)
    optimizer = new_optimizer([nn.Parameter(torch.zeros(1))], recipe)
    images: list[Tensor] = []
    rates: list[float] = []
    draws: list[int] = []

    def gradients(batches: Sequence[Batch], index: int, generator: torch.Generator) -> dict[str, float]:
        assert index == len(images)
        [batch] = batches
        images.append(batch.images)
        rates.append(optimizer.param_groups[0]["lr"])
        draws.append(int(torch.randint(1000, (), generator=generator)))
        return no_gradients()

    assert bench.train(recipe, optimizer, gradients, what="it") > 0
    return images, rates, draws


def test_steps_go_on_over_epochs_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    images, rates, draws = seen(tmp_path)
    assert len(images) == 5  # of epochs of two
    again = seen(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(images, again[0], strict=True))
    assert (rates, draws) == again[1:]
    other = seen(tmp_path, seed=1)
    assert not torch.equal(images[0], other[0][0])
    assert draws != other[2]


def test_the_learning_rate_falls_over_all_steps(tmp_path: Path) -> None:
    _, rates, _ = seen(tmp_path, steps=8)
    assert rates[0] == pytest.approx(0.05)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.01


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    bench = replace(tiny_bench(tmp_path), progress=lambda *facts: told.append(facts))
    recipe = bench.settings.recipe(0)
    bench.train(recipe, new_optimizer([nn.Parameter(torch.zeros(1))], recipe), no_gradients, what="it")
    assert told == [("it, seed 0", 1, 2), ("it, seed 0", 2, 2)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(tmp_path: Path, loss: float) -> None:
    bench = tiny_bench(tmp_path)
    recipe = bench.settings.recipe(7)
    optimizer = new_optimizer([nn.Parameter(torch.zeros(1))], recipe)
    with pytest.raises(InvalidInput, match="it, seed 7: the loss is not finite at step 0") as raised:
        bench.train(recipe, optimizer, lambda *_: {"loss": loss}, what="it")
    assert_one_line(raised.value)
