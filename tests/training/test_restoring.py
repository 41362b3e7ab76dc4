"""A damaged state is refused, and the trainee stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prunnet_export.training._restoring import restore
from prunnet_export.training._trainee import Trainee

Tensors = dict[str, Tensor]


def trainee(optimizer: str, seed: int = 0) -> Trainee:
    """A trainee whose network is a single layer; it was trained for one step."""
    torch.manual_seed(seed)
    network, objective = nn.Linear(3, 2), nn.Linear(2, 2)
    parameters = [*network.parameters(), *objective.parameters()]
    made: torch.optim.Optimizer = (
        torch.optim.SGD(parameters, 0.1, momentum=0.9) if optimizer == "sgd" else torch.optim.AdamW(parameters, 0.1)
    )
    objective(network(torch.ones(1, 3))).sum().backward()
    made.step()
    return Trainee(network, objective, made)  # type: ignore[arg-type]  # the parts of a trainee that are used here


def stored(one: Trainee) -> Tensors:
    """The tensors of its state."""
    tensors = {f"network.{name}": t.clone() for name, t in one.network.state_dict().items()}
    tensors |= {f"objective.{name}": t.clone() for name, t in one.objective.state_dict().items()}
    for index, parameter in enumerate(one.parameters()):
        tensors |= {f"optimizer.{index}.{name}": t.clone() for name, t in one.optimizer.state[parameter].items()}
    return tensors


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Tensors], None]:
    def apply(tensors: Tensors) -> None:
        tensors[name] = change(tensors[name])

    return apply


BOTH = [
    changed("network.weight", lambda t: t.double()),
    changed("network.weight", lambda t: t * torch.nan),
    changed("objective.bias", lambda t: t[:1]),
    lambda tensors: tensors.pop("network.bias"),
    lambda tensors: tensors.update({"network.other": torch.zeros(1)}),
    lambda tensors: tensors.update({"other": torch.zeros(1)}),
    lambda tensors: tensors.update({"optimizer.9.step": torch.zeros(())}),
    lambda tensors: tensors.update({"optimizer.0.other": torch.zeros(())}),
]
SGD = [
    changed("optimizer.1.momentum_buffer", lambda _: torch.zeros(1000)),
    changed("optimizer.0.momentum_buffer", lambda t: t.half()),
    changed("optimizer.0.momentum_buffer", lambda t: t * torch.inf),
    lambda tensors: tensors.update({"optimizer.0.step": torch.zeros(())}),
]
ADAMW = [
    changed("optimizer.0.exp_avg", lambda t: t[:1]),
    changed("optimizer.0.exp_avg_sq", lambda t: -t - 1),
    changed("optimizer.2.step", lambda _: torch.zeros(5)),
    changed("optimizer.2.step", lambda t: t.long()),
    changed("optimizer.2.step", lambda t: t * torch.nan),
    lambda tensors: tensors.pop("optimizer.3.exp_avg"),
    lambda tensors: tensors.pop("optimizer.0.step"),
]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_state_is_restored(optimizer: str) -> None:
    state, other = stored(trainee(optimizer)), trainee(optimizer, seed=1)
    assert any(not torch.equal(tensor, state[name]) for name, tensor in stored(other).items())
    restore(other, state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in stored(other).items())


@pytest.mark.parametrize(
    ("optimizer", "damage"),
    [*(("sgd", one) for one in [*BOTH, *SGD]), *(("adamw", one) for one in [*BOTH, *ADAMW])],
)
def test_a_damaged_state_is_refused_as_a_whole(optimizer: str, damage: Callable[[Tensors], None]) -> None:
    state, other = stored(trainee(optimizer)), trainee(optimizer, seed=1)
    before = stored(other)
    damage(state)
    with pytest.raises(ValueError, match=r"missing|belongs to|in place of|NaN|negative"):
        restore(other, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in stored(other).items())


def test_a_parameter_that_was_not_trained_yet_has_no_entry() -> None:
    state, other = stored(trainee("adamw")), trainee("adamw", seed=1)
    for name in ("step", "exp_avg", "exp_avg_sq"):
        del state[f"optimizer.1.{name}"]
    restore(other, state)
    assert torch.equal(other.optimizer.state[other.parameters()[0]]["exp_avg"], state["optimizer.0.exp_avg"])
