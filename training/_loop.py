"""The training loop: epochs, metrics, checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file, storage_errors
from prunnet_export.datasets import RetrievalData
from prunnet_export.network import PrunableNetwork, build_embedder, reestimate_batchnorm, save_checkpoint
from prunnet_export.patterns import Subnetwork, find_pattern
from prunnet_export.training._batches import TrainingBatches, evaluation_batches
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._state import Trainee, load_state, save_state
from prunnet_export.training._step import StepResult, accumulate_gradients

RECIPE_FILE = "recipe.json"
METRICS_FILE = "metrics.jsonl"
STEPS_PER_METRIC = 10

Progress = Callable[[int, int, dict[str, float]], None]


def train(
    recipe: Recipe,
    data: RetrievalData,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | None = None,
    workers: int = 0,
    half_precision_checkpoint: bool = False,
    progress: Progress | None = None,
) -> PrunableNetwork:
    """Train a prunable network and leave its checkpoint in a folder.

    A killed run loses at most the epoch it was in; with ``resume`` it ends at the very parameters that an
    uninterrupted run ends at.

    Args:
        recipe: The run.
        data: The images, as ``recipe.data`` says.
        out: The folder; ``recipe.json``, ``metrics.jsonl``, the training state after every epoch, and the
            checkpoint at the end.
        resume: Go on with the run in ``out``.
        device: Where to compute; None is the processor.
        workers: Processes that decode images; 0 decodes in this one.
        half_precision_checkpoint: Store the checkpoint in float16, half the size.
        progress: Called after every step with (step, steps, metrics).

    Returns:
        The network, in evaluation mode, its dense BatchNorm statistics re-estimated.

    Raises:
        InvalidInput: nothing to resume, another recipe, too few images, or the loss is not finite.
        StorageError: the folder cannot be written.
    """
    batches = TrainingBatches(
        data.train,
        recipe.preprocessing,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        flip=data.flip,
        workers=workers,
    )
    per_epoch = len(batches)
    if per_epoch == 0:
        raise InvalidInput(
            f"{len(data.train)} training images do not fill one batch of {recipe.batch_size}", hint="lower --batch-size"
        )
    device = device or torch.device("cpu")
    trainee = new_trainee(recipe, classes=int(data.train.labels.max()) + 1, device=device)
    draw_subnetworks(recipe, trainee.network)  # what cannot be drawn is refused before anything is written
    epochs_done = _start(recipe, out, trainee, resume=resume)
    steps = recipe.epochs * per_epoch
    for epoch in range(epochs_done, recipe.epochs):
        trainee.network.train()
        started = time.monotonic()
        for index, (images, labels) in enumerate(batches.epoch(epoch)):
            step = epoch * per_epoch + index
            result = _train_step(recipe, trainee, images.to(device), labels.to(device), step=step, steps=steps)
            seconds = (time.monotonic() - started) / (index + 1)
            metrics = _metrics(recipe, result, step=step, epoch=epoch, steps=steps, seconds=seconds)
            if step % STEPS_PER_METRIC == 0 or index + 1 == per_epoch:
                _append(out / METRICS_FILE, metrics)
            if progress is not None:
                progress(step + 1, steps, metrics)
        save_state(out, trainee, epochs_done=epoch + 1)
    statistics = (images.to(device) for images in statistics_batches(data, recipe))
    reestimate_batchnorm(trainee.network.embedder, statistics)
    save_checkpoint(
        out,
        trainee.network,
        backbone=recipe.backbone,
        backbone_options=recipe.backbone_options,
        preprocessing=recipe.preprocessing,
        data=recipe.data,
        training=_summary(recipe, steps),
        dtype=torch.float16 if half_precision_checkpoint else torch.float32,
    )
    return trainee.network.eval()


def new_trainee(recipe: Recipe, *, classes: int, device: torch.device) -> Trainee:
    """A fresh network, classifier and optimizer; equal for equal recipes, whatever the device."""
    torch.manual_seed(recipe.seed)
    embedder = build_embedder(
        recipe.backbone,
        dim=recipe.embedding_dim,
        preprocessing=recipe.preprocessing,
        options=recipe.backbone_options,
    )
    network = PrunableNetwork(embedder, crop=recipe.preprocessing.crop, seed=recipe.seed)
    classifier = nn.Linear(recipe.embedding_dim, classes)
    network.to(device)
    classifier.to(device)
    parameters = [*network.parameters(), *classifier.parameters()]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return Trainee(network, classifier, optimizer)


def draw_subnetworks(recipe: Recipe, network: PrunableNetwork) -> list[Subnetwork]:
    """The subnetworks of a step, from the current scores."""
    return [
        subnetwork
        for pattern in recipe.patterns
        for subnetwork in find_pattern(pattern).subnetworks(
            network, recipe.capacities, channel_multiple=recipe.channel_multiple
        )
    ]


def statistics_batches(data: RetrievalData, recipe: Recipe) -> Iterator[Tensor]:
    """Training images for BatchNorm statistics, spread evenly over the split."""
    count = min(recipe.statistics_images, len(data.train))
    indices = [index * len(data.train) // count for index in range(count)]
    for images, _ in evaluation_batches(data.train, recipe.preprocessing, batch_size=100, indices=indices):
        if len(images) > 1:
            yield images


def _start(recipe: Recipe, out: Path, trainee: Trainee, *, resume: bool) -> int:
    recipe_file = out / RECIPE_FILE
    if not resume:
        if recipe_file.exists():
            raise InvalidInput(
                f"{out} already holds a run", hint="add --resume to go on with it, or choose another --out"
            )
        replace_file(recipe_file, msgspec.json.format(msgspec.json.encode(recipe), indent=2) + b"\n")
        replace_file(out / METRICS_FILE, b"")
        save_state(out, trainee, epochs_done=0)
        return 0
    if not recipe_file.is_file():
        raise InvalidInput(f"{out} holds no run to resume", hint="leave --resume out to start one")
    try:
        recipe.check_same(msgspec.json.decode(recipe_file.read_bytes(), type=Recipe))
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{recipe_file}: {error}", hint="the file was changed or is of another version") from None
    epochs_done = load_state(out, trainee)
    _forget_metrics_from(out / METRICS_FILE, epoch=epochs_done)
    return epochs_done


def _train_step(
    recipe: Recipe, trainee: Trainee, images: Tensor, labels: Tensor, *, step: int, steps: int
) -> StepResult:
    # Seeded by the step, so that a resumed run draws what an uninterrupted one draws.
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    torch.manual_seed(recipe.seed * 1_000_003 + step)
    result = accumulate_gradients(
        trainee.network,
        trainee.classifier,
        draw_subnetworks(recipe, trainee.network),
        images,
        labels,
        rule=recipe.integration,
        gamma=recipe.gamma,
        generator=generator,
    )
    if not all(map(torch.isfinite, torch.tensor([result.dense_loss, result.gradient_norm]))):
        raise InvalidInput(f"the loss is not finite at step {step}", hint="lower --learning-rate")
    for group in trainee.optimizer.param_groups:
        group["lr"] = recipe.rate(step, steps)
    trainee.optimizer.step()
    return result


def _metrics(
    recipe: Recipe, result: StepResult, *, step: int, epoch: int, steps: int, seconds: float
) -> dict[str, float]:
    names = [f"loss_{pattern}_{capacity:g}" for pattern in recipe.patterns for capacity in recipe.capacities]
    return {
        "step": step,
        "epoch": epoch,
        "learning_rate": recipe.rate(step, steps),
        "loss_dense": result.dense_loss,
        **dict(zip(names, result.subnetwork_losses, strict=True)),
        "gradient_norm": result.gradient_norm,
        "seconds_per_step": round(seconds, 4),
    }


def _append(file: Path, metrics: dict[str, float]) -> None:
    with storage_errors(file), file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(metrics) + "\n")


def _forget_metrics_from(file: Path, *, epoch: int) -> None:
    """Drop the lines of the epoch that was lost; it is run again."""
    kept = []
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        try:
            entry: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:  # the line that the kill cut in two
            break
        if entry["epoch"] < epoch:
            kept.append(line + "\n")
    replace_file(file, "".join(kept).encode())


def _summary(recipe: Recipe, steps: int) -> dict[str, bool | int | float | str | list[float | str]]:
    return {
        "patterns": list(recipe.patterns),
        "capacities": list(recipe.capacities),
        "channel_multiple": recipe.channel_multiple,
        "integration": recipe.integration,
        "epochs": recipe.epochs,
        "steps": steps,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
    }
