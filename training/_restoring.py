"""Putting stored tensors into a new trainee. All of them are checked before any of them is used."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunnet_export.training._trainee import Trainee

_STEP = "step"
# What an optimizer keeps for a parameter. The kernels of torch take other shapes and types for granted.
_SGD = frozenset({"momentum_buffer"})
_ADAMW = frozenset({"exp_avg", "exp_avg_sq", _STEP})
_NOT_NEGATIVE = frozenset({"exp_avg_sq", _STEP})
_ENTRY = re.compile(r"optimizer\.(0|[1-9][0-9]{0,8})\.([a-z_]+)")

Entries = dict[int, dict[str, Tensor]]


def restore(trainee: Trainee, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors of a state into a trainee.

    Args:
        trainee: A new trainee. If an error is raised, it is as before.
        tensors: The tensors by their names: ``network.NAME``, ``objective.NAME``, ``optimizer.NUMBER.NAME``.

    Raises:
        ValueError: a tensor is missing or unknown, has another shape or dtype, or holds NaN or infinity.
    """
    modules = {"network.": trainee.network, "objective.": trainee.objective}
    expected = {f"{start}{name}": t for start, module in modules.items() for name, t in module.state_dict().items()}
    parameters = trainee.parameters()
    entries = _entries(trainee, {name: one for name, one in tensors.items() if name not in expected})
    _check_modules(expected, tensors)
    for index, entry in entries.items():
        _check_entry(index, entry, parameters[index])
    for start, module in modules.items():
        module.load_state_dict({n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)})
    for index, entry in entries.items():
        trainee.optimizer.state[parameters[index]] = _on_device(entry, parameters[index])


def _check_modules(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        _check(name, tensors[name], tensor.shape, tensor.dtype)


def _entries(trainee: Trainee, tensors: Mapping[str, Tensor]) -> Entries:
    """What is stored for each parameter, by its number; raises ValueError for a name that no optimizer has."""
    names = _ADAMW if isinstance(trainee.optimizer, torch.optim.AdamW) else _SGD
    count, entries = len(trainee.parameters()), Entries()
    for name, tensor in tensors.items():
        match = _ENTRY.fullmatch(name)
        if match is None or int(match[1]) >= count or match[2] not in names:
            raise ValueError(f"{name[:60]} belongs to no part of this training")
        entries.setdefault(int(match[1]), {})[match[2]] = tensor
    for index, entry in entries.items():
        for name in sorted(names - entry.keys()):
            raise ValueError(f"optimizer.{index}.{name} is missing")
    return entries


def _check_entry(index: int, entry: Mapping[str, Tensor], parameter: nn.Parameter) -> None:
    for name, tensor in entry.items():
        shape, dtype = (torch.Size(), torch.float32) if name == _STEP else (parameter.shape, parameter.dtype)
        _check(f"optimizer.{index}.{name}", tensor, shape, dtype)
        if name in _NOT_NEGATIVE and bool((tensor < 0).any()):
            raise ValueError(f"optimizer.{index}.{name} is negative")


def _check(name: str, tensor: Tensor, shape: torch.Size, dtype: torch.dtype) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        found, wanted = (
            f"{str(d).removeprefix('torch.')} {list(s)}" for d, s in ((tensor.dtype, tensor.shape), (dtype, shape))
        )
        raise ValueError(f"{name} is {found} in place of {wanted}")
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinity")


def _on_device(entry: Mapping[str, Tensor], parameter: nn.Parameter) -> dict[str, Tensor]:
    # AdamW's step count stays on the CPU, so that reading it does not wait for the device.
    return {name: tensor if name == _STEP else tensor.to(parameter.device) for name, tensor in entry.items()}
