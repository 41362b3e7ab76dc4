"""What each of two processes sees that train together: run by torchrun, writes ``rank-R.json`` into a folder."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from prunnet_export._errors import InvalidInput, PrunnetError
from prunnet_export.datasets import RetrievalData
from prunnet_export.training import _distributed
from prunnet_export.training._distributed import Ranks, process_group
from prunnet_export.training._loop import Progress, train
from prunnet_export.training._recipe import Recipe
from prunnet_export.training.data._arrays import ArraySplit
from tests._inputs import array_split, retrieval_data, tiny_recipe
from tests.training._killing import Killed, kill_at

IMAGES = 60
LONG: dict[str, object] = {"epochs": 10, "schedule": "cosine"}  # 50 steps
SHORT: dict[str, object] = {"epochs": 2}


class Broken(ArraySplit):
    """No image of it can be read."""

    def image(self, index: int) -> Image.Image:
        raise InvalidInput(f"image {index} is broken", hint="mend it")


def main(folder: Path) -> None:
    with process_group() as ranks:
        losses: list[float] = []

        def keep_loss(_step: int, _steps: int, metrics: dict[str, float]) -> None:
            losses.append(metrics["loss_dense"])

        report = {
            "averaged": averaged(ranks),
            "agreed": [ended(lambda who=who: agree(ranks, who)) for who in ([], [0], [1], [0, 1])],  # type: ignore[misc]  # a lambda's default
            "long": digest(run(ranks, folder / "long", LONG, progress=keep_loss)),
            "losses": losses,
            "short": digest(run(ranks, folder / "short", SHORT)),
            "resumed": resumed(ranks, folder / "resumed"),
            "not finite": ended(lambda: run(ranks, folder / "diverged", {"learning_rate": 1e30, "warmup": 0.0})),
            "broken": ended(lambda: broken(ranks, folder / "broken")),
            "exists": ended(lambda: run(ranks, folder / "long", LONG)),
            "odd": ended(lambda: run(ranks, folder / "odd", {"batch_size": 11})),
            "local_rank": ranks.local_rank,
        }
    (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(report), "utf-8")


def recipe(changed: Mapping[str, object]) -> Recipe:
    return tiny_recipe(processes=2, **changed)


def run(
    ranks: Ranks,
    out: Path,
    changed: Mapping[str, object],
    *,
    progress: Progress = lambda _step, _steps, _metrics: None,
    resume: bool = False,
) -> nn.Module:
    return train(
        recipe(changed),
        retrieval_data(IMAGES),
        out,
        ranks=ranks,
        progress=progress,
        resume=resume,
        seconds_between_states=0,
    )


def resumed(ranks: Ranks, out: Path) -> str:
    """As the short run, but killed in its second epoch."""
    try:
        run(ranks, out, SHORT, progress=kill_at(7))
    except Killed:
        return digest(run(ranks, out, SHORT, resume=True))
    raise AssertionError


def broken(ranks: Ranks, out: Path) -> None:
    """One of the two cannot read its images."""
    plain = array_split(IMAGES)
    split = Broken(np.zeros((IMAGES, 20, 20), np.uint8), plain.labels) if ranks.rank == 1 else plain
    train(recipe(SHORT), RetrievalData("broken", split, plain, plain), out, ranks=ranks)


def averaged(ranks: Ranks) -> list[list[float]]:
    """Tensors of two types and several shapes, more than a bucket holds."""
    tensors = [torch.arange(n, dtype=kind).view(-1, 1) for n, kind in ((3, torch.float32), (5, torch.float64))]
    tensors += [torch.ones(2, 2), torch.tensor(4.0), torch.full((40,), 0.1)]
    whole = [tensor * (ranks.rank + 1) for tensor in tensors]
    before, _distributed._BUCKET = _distributed._BUCKET, 6
    ranks.average(whole)
    _distributed._BUCKET = before
    return [tensor.flatten().tolist() for tensor in whole]


def agree(ranks: Ranks, failing: list[int]) -> None:
    with ranks.sharing_failures():
        if ranks.rank in failing:
            raise InvalidInput(f"rank {ranks.rank}", hint="none")


def ended(action: Callable[[], object]) -> str:
    """The error that an action ends in, or nothing."""
    try:
        action()
    except PrunnetError as error:
        return f"{type(error).__name__}: {error.message}"
    return ""


def digest(network: nn.Module) -> str:
    """Of the bits of every parameter."""
    found = hashlib.sha256()
    for parameter in network.parameters():
        found.update(parameter.detach().numpy().tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
