"""The choice of the device that trains."""

from __future__ import annotations

import torch

from prunnet_export._errors import InvalidInput
from prunnet_export.training._distributed import Ranks


def choose_device(name: str, ranks: Ranks) -> torch.device:
    """The torch device of this name; ``auto`` is the current accelerator, or the CPU if there is none.

    With several processes, each one uses the GPU of its local rank, or all share the CPU.

    Raises:
        InvalidInput: there is no such device, or several processes cannot use it.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if ranks.world_size == 1:
            return found or torch.device("cpu")
        name = "cuda" if found is not None and found.type == "cuda" else "cpu"
    try:
        device = torch.device(name)
        if ranks.world_size > 1 and name not in {"cpu", "cuda"}:
            raise InvalidInput(
                f"--device {name!r} cannot be used by {ranks.world_size} processes",
                hint="cuda gives each process a GPU of its own; cpu is shared",
            )
        if ranks.world_size > 1 and device.type == "cuda":
            device = torch.device("cuda", ranks.local_rank)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"--device {name!r} cannot be used: {reason}", hint="auto chooses a device") from None
    return device
