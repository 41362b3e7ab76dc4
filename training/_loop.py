"""The training loop: epochs, metrics, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, Unreachable, is_out_of_memory
from prunnet_export._lock import FolderLock
from prunnet_export.datasets import RetrievalData
from prunnet_export.network import (
    PrunableNetwork,
    build_embedder,
    reestimate_batchnorm,
    save_checkpoint,
    statistics_batches,
)
from prunnet_export.patterns import Subnetwork
from prunnet_export.training._batches import TrainingBatches, evaluation_batches
from prunnet_export.training._distributed import ALONE, Ranks
from prunnet_export.training._draw import draw_subnetworks
from prunnet_export.training._integration import ConflictAware
from prunnet_export.training._journal import LOCK_FILE, METRICS_FILE, Journal, begin, forget_metrics_from
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._state import Trainee, load_state
from prunnet_export.training._step import GradientStep, StepResult

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
    ranks: Ranks = ALONE,
    seconds_between_states: float = 300.0,
    progress: Progress | None = None,
) -> PrunableNetwork:
    """Train a prunable network and leave its checkpoint in a folder.

    A run may be killed at any moment; with ``resume`` it ends at the very parameters that an uninterrupted run on
    the same processor ends at, because everything random is a function of the seed, the step and the rank.

    Args:
        recipe: The run.
        data: The images, as ``recipe.data`` says.
        out: The folder; ``recipe.json``, ``metrics.jsonl``, the training state, and the checkpoint at the end. The
            first rank writes it, all read the state.
        resume: Go on with the run in ``out``; where none had begun, begin it.
        device: Where to compute; None is the processor.
        workers: Processes that decode images, of each rank; 0 decodes in this one.
        half_precision_checkpoint: Store the checkpoint in float16, half the size.
        ranks: The processes that train together, ``recipe.processes`` of them.
        seconds_between_states: The state is written at the end of an epoch, and when it is older than this.
        progress: Called after every step with (step, steps, metrics).

    Returns:
        The network, in evaluation mode; its dense BatchNorm statistics are re-estimated on the first rank.

    Raises:
        InvalidInput: another recipe, other images, too few of them, a batch that cannot be divided, or the loss is not
            finite.
        StorageError: the folder cannot be written, or another run writes to it.
        Unreachable: another process failed or is gone.
    """
    device = device or torch.device("cpu")
    with closing(FolderLock(out, out / LOCK_FILE)) as lock:
        with ranks.agreeing():
            batches = _batches(recipe, data, workers=workers, ranks=ranks)
            per_epoch = len(batches) // recipe.accumulate
            steps = recipe.epochs * per_epoch
            trainee = new_trainee(recipe, classes=int(data.train.labels.max()) + 1, device=device)
            # What cannot be drawn is refused before anything is written.
            draw_subnetworks(recipe, trainee.network, step=steps, steps=steps)
            if ranks.rank == 0:
                lock.acquire()
                begin(recipe, out, trainee, steps=steps, resume=resume)
        with ranks.agreeing():
            done = load_state(out, trainee, steps=steps)
            if ranks.rank == 0:
                forget_metrics_from(out / METRICS_FILE, step=done)
        journal = Journal(out, trainee, steps=steps, seconds_between_states=seconds_between_states)
        integration = ConflictAware(recipe.integration, recipe.gamma)
        gradients = GradientStep(
            trainee.network,
            trainee.classifier,
            integration,
            distillation=recipe.distillation,
            ranks=ranks,
            bfloat16=recipe.bfloat16,
        )
        trainee.network.train()
        for epoch in range(done // per_epoch, recipe.epochs):
            first, last = max(done, epoch * per_epoch), (epoch + 1) * per_epoch - 1
            micro_batches = batches.epoch(epoch, start_batch=first % per_epoch * recipe.accumulate)
            for step in range(first, last + 1):
                # Whatever is random follows from the step, so that a resumed run draws what an uninterrupted one draws.
                seed = recipe.seed * 1_000_003 + step
                torch.manual_seed(seed * ranks.world_size + ranks.rank)  # dropout, of other images on each rank
                with ranks.agreeing():  # an image that cannot be read is the trouble of one rank
                    batch = [(x.to(device), y.to(device)) for x, y in islice(micro_batches, recipe.accumulate)]
                    subnetworks = draw_subnetworks(recipe, trainee.network, step=step, steps=steps)
                with _memory_errors():
                    result = gradients(subnetworks, batch, generator=torch.Generator().manual_seed(seed))
                with ranks.agreeing():
                    _check_finite(result, step=step)
                    rate = recipe.rate(step, steps)
                    _update(trainee.optimizer, rate)
                    metrics = {"step": step, "epoch": epoch, "learning_rate": rate, **_losses(result, subnetworks)}
                    if ranks.rank == 0:
                        journal.note(metrics, step=step, last_of_epoch=step == last)
                if progress is not None:
                    progress(step + 1, steps, metrics)
        with ranks.agreeing():
            if ranks.rank == 0:
                statistics = (images.to(device) for images in statistics_inputs(data, recipe))
                reestimate_batchnorm(trainee.network.embedder, statistics)
                _save(recipe, out, trainee, steps=steps, half_precision=half_precision_checkpoint)
        return trainee.network.eval()


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise Unreachable(
            "a step does not fit into memory", hint="lower --batch-size, or divide the batch with --accumulate"
        ) from None


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
    return Trainee(network, classifier, new_optimizer([*network.parameters(), *classifier.parameters()], recipe))


def new_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def statistics_inputs(data: RetrievalData, recipe: Recipe) -> Iterator[Tensor]:
    """Training images for BatchNorm statistics, as :func:`statistics_batches` chooses them."""
    for batch in statistics_batches(len(data.train), recipe.statistics_images):
        for images, _ in evaluation_batches(data.train, recipe.preprocessing, batch_size=len(batch), indices=batch):
            yield images


def _batches(recipe: Recipe, data: RetrievalData, *, workers: int, ranks: Ranks) -> TrainingBatches:
    """Micro-batches; those of a step, of all ranks together, are its batch in order."""
    if recipe.processes != ranks.world_size:
        raise InvalidInput(
            f"a recipe for {recipe.processes} process(es) on {ranks.world_size}", hint="start as many as it says"
        )
    micro_batch = recipe.micro_batch
    if len(data.train) == 0:
        raise InvalidInput(f"{data.name} has no images to train on", hint="it is for tests alone; train on another set")
    if len(data.train) < recipe.batch_size:
        raise InvalidInput(
            f"{len(data.train)} training images do not fill one batch of {recipe.batch_size}", hint="lower --batch-size"
        )
    return TrainingBatches(
        data.train,
        recipe.preprocessing,
        batch_size=micro_batch,
        seed=recipe.seed,
        flip=data.flip,
        workers=workers,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )


def _check_finite(result: StepResult, *, step: int) -> None:
    if not (math.isfinite(result.dense_loss) and math.isfinite(result.gradient_norm)):
        raise InvalidInput(f"the loss is not finite at step {step}", hint="lower --learning-rate")


def _update(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def _losses(result: StepResult, subnetworks: Sequence[Subnetwork]) -> dict[str, float]:
    names = [f"loss_{subnetwork.pattern}_{subnetwork.asked:g}" for subnetwork in subnetworks]
    losses = dict(zip(names, result.subnetwork_losses, strict=True))
    return {"loss_dense": result.dense_loss, **losses, "gradient_norm": result.gradient_norm}


def _save(recipe: Recipe, out: Path, trainee: Trainee, *, steps: int, half_precision: bool) -> None:
    save_checkpoint(
        out,
        trainee.network,
        backbone=recipe.backbone,
        backbone_options=recipe.backbone_options,
        preprocessing=recipe.preprocessing,
        data=recipe.data,
        training=_summary(recipe, steps),
        dtype=torch.float16 if half_precision else torch.float32,
    )


def _summary(recipe: Recipe, steps: int) -> dict[str, bool | int | float | str | list[float | str]]:
    return {
        "patterns": list(recipe.patterns),
        "capacities": list(recipe.capacities),
        "random_capacities": recipe.random_capacities,
        "dense_first": recipe.dense_first,
        "channel_multiple": recipe.channel_multiple,
        "distillation": recipe.distillation,
        "integration": recipe.integration,
        "epochs": recipe.epochs,
        "steps": steps,
        "batch_size": recipe.batch_size,
        "accumulate": recipe.accumulate,
        "processes": recipe.processes,
        "bfloat16": recipe.bfloat16,
        "seed": recipe.seed,
    }
