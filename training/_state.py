"""The state of a run between two steps, in one safetensors file that is replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export._limits import WEIGHTS_BYTES
from prunnet_export.network import ranks_in
from prunnet_export.training._restoring import restore
from prunnet_export.training._trainee import Trainee

STATE_FILE = "training-state.safetensors"
_LENGTH = 8
_NETWORK = "network."  # begins the names of the network's tensors


def save_state(folder: Path, trainee: Trainee, *, steps_done: int, steps: int) -> None:
    """Write everything that the next step depends on.

    Raises:
        StorageError: the folder cannot be written.
    """
    safetensors = require("safetensors.torch", extra="train")
    tensors: dict[str, Tensor] = {}
    tensors |= {f"{_NETWORK}{name}": tensor for name, tensor in trainee.network.state_dict().items()}
    tensors |= {f"objective.{name}": tensor for name, tensor in trainee.objective.state_dict().items()}
    for index, parameter in enumerate(trainee.parameters()):
        for name, value in trainee.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.save(stored, metadata={"steps": f"{steps_done}/{steps}"})
    replace_file(folder / STATE_FILE, content)


def load_state(folder: Path, trainee: Trainee, *, steps: int) -> int:
    """Restore a run of ``steps`` steps into a new trainee; returns the number of finished steps.

    Raises:
        InvalidInput: the file is missing, corrupt or of another network, or its run has another number of steps.
    """
    safetensors = require("safetensors.torch", extra="train")
    file = folder / STATE_FILE
    if not file.is_file():
        raise InvalidInput(f"{file} is missing", hint="choose another --out, or delete the folder")
    content = read_bytes(file, at_most=WEIGHTS_BYTES)
    try:
        tensors: dict[str, Tensor] = safetensors.load(content)
        # One entry, because safetensors writes several in a random order.
        done, of = map(int, _metadata(content).get("steps", "-1/-1").split("/"))
        if 0 <= done <= of == steps:
            # Whether a run has ranks, and of which shapes, is only known from its state.
            trainee.network.set_unit_ranks(ranks_in(_of_network(tensors)))
            restore(trainee, tensors)
    except Exception as error:  # noqa: BLE001  # the parser and torch raise untyped errors on foreign bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{file} cannot be resumed from ({reason})", hint="choose another --out, or delete the folder"
        ) from None
    if not 0 <= done <= of:
        raise InvalidInput(
            f"{file} does not say which step it was written after",
            hint="it is of another version; choose another --out",
        )
    if of != steps:
        raise InvalidInput(
            f"{file} is of a run of {of} steps, and the images now make {steps}",
            hint="give the images that the run was started with, or choose another --out",
        )
    return done


def _of_network(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(_NETWORK): tensor for n, tensor in tensors.items() if n.startswith(_NETWORK)}


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file, which begins with its length in eight bytes."""
    length = int.from_bytes(content[:_LENGTH], "little")
    found: dict[str, str] = parse_json(content[_LENGTH : _LENGTH + length]).get("__metadata__", {})
    return found
