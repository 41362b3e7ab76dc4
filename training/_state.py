"""The state of a run between two epochs: one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export.network import PrunableNetwork

STATE_FILE = "training-state.safetensors"


@dataclass
class Trainee:
    """What training changes.

    Attributes:
        network: The prunable network.
        classifier: On the un-normalised embedding, used in training only.
        optimizer: Over the parameters of both.
    """

    network: PrunableNetwork
    classifier: nn.Linear
    optimizer: torch.optim.Optimizer

    def parameters(self) -> list[nn.Parameter]:
        """Every trained parameter, in a fixed order."""
        return [*self.network.parameters(), *self.classifier.parameters()]


def save_state(folder: Path, trainee: Trainee, *, epochs_done: int) -> None:
    """Write everything that the next epoch depends on.

    Raises:
        StorageError: the folder cannot be written.
    """
    safetensors = require("safetensors.torch", extra="train")
    tensors: dict[str, Tensor] = {}
    tensors |= {f"network.{name}": tensor for name, tensor in trainee.network.state_dict().items()}
    tensors |= {f"classifier.{name}": tensor for name, tensor in trainee.classifier.state_dict().items()}
    for index, parameter in enumerate(trainee.parameters()):
        for name, value in trainee.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.save(stored, metadata={"epochs_done": str(epochs_done)})
    replace_file(folder / STATE_FILE, content)


def load_state(folder: Path, trainee: Trainee) -> int:
    """Restore a run into a fresh trainee.

    Returns:
        How many epochs are done.

    Raises:
        InvalidInput: there is nothing to resume, or the file is corrupt or of another network.
    """
    safetensors = require("safetensors.torch", extra="train")
    file = folder / STATE_FILE
    if not file.is_file():
        raise InvalidInput(f"{folder} holds no run to resume", hint="leave --resume out to start one")
    raw = read_bytes(file)
    try:
        tensors: dict[str, Tensor] = safetensors.load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        epochs_done = int(header["__metadata__"]["epochs_done"])
        _restore(trainee, tensors)
    except Exception as error:  # noqa: BLE001  # the parser and torch raise untyped errors on foreign bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{file} cannot be resumed from ({reason})", hint="start the run again without --resume"
        ) from None
    return epochs_done


def _restore(trainee: Trainee, tensors: dict[str, Tensor]) -> None:
    for prefix, module in (("network.", trainee.network), ("classifier.", trainee.classifier)):
        module.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    for index, parameter in enumerate(trainee.parameters()):
        prefix = f"optimizer.{index}."
        state = {n.removeprefix(prefix): t.to(parameter.device) for n, t in tensors.items() if n.startswith(prefix)}
        if state:
            trainee.optimizer.state[parameter] = state
