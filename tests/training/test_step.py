"""A step of any network: what is clipped, refused and drawn, and at which learning rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export.training._batches import Batch
from prunnet_export.training._gradients import MAX_NORM
from prunnet_export.training._step import SubnetworkGradients, take_step
from prunnet_export.training._trainee import new_optimizer, new_trainee
from tests._asserts import assert_one_line
from tests._inputs import images, tiny_recipe

BATCH = Batch(images(6, 16), torch.arange(6) % 3)


def one_parameter(*gradient: float, loss: float = 1.0, **recipe: object) -> tuple[nn.Parameter, Callable[..., object]]:
    """A parameter at 0, and what takes a step with that gradient."""
    parameter = nn.Parameter(torch.zeros(len(gradient)))
    made = tiny_recipe(weight_decay=0.0, warmup=0.0, **recipe)
    optimizer = new_optimizer([parameter], made)

    def gradients(*_: object) -> dict[str, float]:
        parameter.grad = torch.tensor(gradient)
        return {"loss": loss}

    return parameter, lambda step, steps: take_step(made, optimizer, gradients, [BATCH], step=step, steps=steps)


def test_the_optimizer_steps_at_the_rate_of_the_step() -> None:
    parameter, take = one_parameter(3.0, 4.0, learning_rate=0.1, schedule="step")
    assert take(3, 4) == pytest.approx({"learning_rate": 1e-4, "loss": 1.0, "gradient_norm": 5.0})
    assert parameter.tolist() == pytest.approx([-3e-4, -4e-4])


def test_large_gradients_are_clipped_and_the_norm_before_is_told() -> None:
    parameter, take = one_parameter(300.0, 400.0, learning_rate=1.0)
    assert take(0, 9) == pytest.approx({"learning_rate": 1.0, "loss": 1.0, "gradient_norm": 5 * MAX_NORM})
    assert float(parameter.detach().norm()) == pytest.approx(MAX_NORM, rel=1e-3)


@pytest.mark.parametrize(("gradient", "loss"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))])
def test_what_is_not_finite_is_refused_before_anything_moves(gradient: float, loss: float) -> None:
    parameter, take = one_parameter(gradient, loss=loss)
    with pytest.raises(InvalidInput, match="the loss is not finite at step 2") as raised:
        take(2, 4)
    assert_one_line(raised.value)
    assert parameter.tolist() == [0]


def test_what_is_random_follows_from_the_seed_and_the_step() -> None:
    def drawn(seed: int, step: int) -> list[float]:
        parameter = nn.Parameter(torch.zeros(1))
        parameter.grad = torch.zeros(1)
        recipe, found = tiny_recipe(seed=seed), []

        def gradients(_batches: object, _step: int, generator: torch.Generator) -> dict[str, float]:
            found.extend([float(torch.rand(())), float(torch.rand((), generator=generator))])
            return {}

        take_step(recipe, new_optimizer([parameter], recipe), gradients, [], step=step, steps=9)
        return found

    assert drawn(1, 2) == drawn(1, 2)
    assert len({tuple(drawn(seed, step)) for seed, step in ((1, 2), (1, 3), (2, 2))}) == 3


def test_the_losses_of_a_recipe_have_names() -> None:
    recipe = tiny_recipe(patterns=("channel", "2:4"))
    trainee = new_trainee(recipe, classes=3)
    gradients = SubnetworkGradients(recipe, trainee, steps=2)
    taken = take_step(recipe, trainee.optimizer, gradients, [BATCH], step=0, steps=2)
    subnetworks = ["loss_channel_0.6", "loss_channel_0.3", "loss_2:4_0.5"]
    assert list(taken) == ["learning_rate", "loss_dense", *subnetworks, "gradient_norm"]
    assert [one.pattern for one in gradients.subnetworks] == ["channel", "channel", "2:4"]
