"""The training loop: epochs, metrics, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput, Unreachable, is_out_of_memory
from prunnet_export._files import sha256
from prunnet_export._lock import FolderLock
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import settling_pairs, statistics_inputs
from prunnet_export.network import (
    PrunableNetwork,
    fit_projector,
    reestimate_batchnorm,
    save_checkpoint,
)
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.teachers import save_sample
from prunnet_export.training._batches import TrainingBatches
from prunnet_export.training._distributed import ALONE, Ranks
from prunnet_export.training._images import check_images
from prunnet_export.training._journal import LOCK_FILE, RECIPE_FILE, Journal, begin_run
from prunnet_export.training._match import Match
from prunnet_export.training._matching_start import new_matching_trainee
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._state import load_state
from prunnet_export.training._step import Gradients, SubnetworkGradients, take_step
from prunnet_export.training._trainee import Trainee, new_trainee
from prunnet_export.training._weights_start import start_from_weights

Progress = Callable[[int, int, dict[str, float]], None]
_IN_CHECKPOINT = (
    "patterns", "capacities", "random_capacities", "dense_first", "channel_multiple", "distillation", "integration",
    "epochs", "batch_size", "accumulate", "processes", "bfloat16", "seed",
    "weights_sha256",
)  # fmt: skip


def train(
    recipe: Recipe,
    data: RetrievalData,
    out: Path,
    *,
    match: Match | None = None,
    resume: bool = False,
    device: torch.device | None = None,
    workers: int = 0,
    half_precision_checkpoint: bool = False,
    ranks: Ranks = ALONE,
    weights: Path | None = None,
    seconds_between_states: float = 300.0,
    progress: Progress = lambda _step, _steps, _metrics: None,
) -> PrunableNetwork:
    """Train a prunable network and write its checkpoint into a folder. A killed run can be resumed.

    Args:
        recipe: The recipe of the run.
        data: The images of ``recipe.data``.
        out: The folder of the recipe, the metrics, the training state, and the checkpoint at the end.
        match: The teacher's vectors of the images, for ``recipe.match``.
        resume: Continue the run in ``out``, with the same result as an uninterrupted run; start it if there is none.
        device: The device that computes; None is the CPU.
        workers: Number of processes that decode images for each rank; with 0 the rank itself decodes.
        half_precision_checkpoint: Store the checkpoint in float16, half the size.
        ranks: The ``recipe.processes`` that train together. The first one writes the folder, all read the state.
        weights: The file that ``recipe.weights_sha256`` names; a run to resume does not need it.
        seconds_between_states: The state is written at the end of an epoch, and when it is older than this.
        progress: Called after every step with (step, steps, metrics).

    Returns:
        The network, in evaluation mode. The first rank re-estimates its dense BatchNorm statistics.

    Raises:
        InvalidInput: another recipe or other images, weights that are missing or do not fit, a batch that cannot be
            divided, or a loss that is not finite.
        StorageError: the folder cannot be written, or another run writes to it.
        Unreachable: another process failed or ended.
        UnsupportedPattern: the backbone cannot be cut in a pattern of the recipe.
    """
    with closing(FolderLock(out, out / LOCK_FILE)) as lock:
        with ranks.sharing_failures():
            batches = _batches(recipe, data, match, workers=workers, ranks=ranks)
            steps = recipe.epochs * (len(batches) // recipe.accumulate)
            classes = int(data.train.labels.max()) + 1
            if (out / RECIPE_FILE).exists():
                weights = None  # the saved state replaces them, or the run is refused
            if match is None:
                trainee = new_trainee(recipe, classes=classes, device=device, weights=weights)
                if weights is not None:
                    start_from_weights(trainee.network, recipe, data, device)
            else:
                trainee = new_matching_trainee(recipe, match, data, classes=classes, device=device, weights=weights)
            gradients = SubnetworkGradients(recipe, trainee, steps=steps, ranks=ranks)
            if ranks.rank == 0:
                lock.acquire()
                begin_run(recipe, out, trainee, steps=steps, resume=resume, weights=weights)
        with ranks.sharing_failures():
            done = load_state(out, trainee, steps=steps)
            journal = Journal(out, trainee, done, steps, seconds_between_states) if ranks.rank == 0 else None
        taken = _take_steps(recipe, batches, trainee, gradients, first=done, steps=steps, device=device, ranks=ranks)
        for step, metrics in enumerate(taken, done):
            with ranks.sharing_failures():
                if journal is not None:
                    journal.record(metrics, step=step, last_of_epoch=(step + 1) % (steps // recipe.epochs) == 0)
            progress(step + 1, steps, metrics)
        with ranks.sharing_failures():
            if ranks.rank == 0:
                reestimate_dense_batchnorm(trainee.network, data, recipe, match, device)
                _save(recipe, out, trainee, match, steps=steps, half_precision=half_precision_checkpoint)
        return trainee.network.eval()


def _take_steps(
    recipe: Recipe,
    batches: TrainingBatches,
    trainee: Trainee,
    gradients: Gradients,
    *,
    first: int,
    steps: int,
    device: torch.device | None,
    ranks: Ranks,
) -> Iterator[dict[str, float]]:
    """Take the steps from ``first`` on and yield the metrics of each."""
    per_epoch = steps // recipe.epochs
    for epoch in range(first // per_epoch, recipe.epochs):
        micro_batches = batches.epoch(epoch, start_batch=first % per_epoch * recipe.accumulate)
        for step in range(first, (epoch + 1) * per_epoch):
            batch = (one.to(device) for one in islice(micro_batches, recipe.accumulate))
            with _memory_errors():
                taken = take_step(recipe, trainee.optimizer, gradients, batch, step=step, steps=steps, ranks=ranks)
            yield {"step": step, "epoch": epoch, **taken}
        first = (epoch + 1) * per_epoch


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


def reestimate_dense_batchnorm(
    network: PrunableNetwork,
    data: RetrievalData,
    recipe: Recipe,
    match: Match | None = None,
    device: torch.device | None = None,
) -> None:
    """Re-estimate the dense network's BatchNorm statistics on training images, and leave it in evaluation mode.

    With a teacher, the projector is refitted to its vectors too. Subnetworks are refitted to the dense network later.
    """

    def moved(images: Tensor) -> Tensor:
        return images.to(device, memory_format=torch.channels_last)  # the layout of the training

    if match is None:
        inputs = statistics_inputs(data.train, recipe.preprocessing, recipe.statistics_images)
        reestimate_batchnorm(network.embedder, map(moved, inputs))
        return
    pairs = partial(settling_pairs, data.train, match.sample, recipe.preprocessing)
    reestimate_batchnorm(network.embedder, (moved(images) for images, _ in pairs()))
    fit_projector(network.embedder, ((moved(images), vectors.to(device)) for images, vectors in pairs()))


def _batches(
    recipe: Recipe, data: RetrievalData, match: Match | None, *, workers: int, ranks: Ranks
) -> TrainingBatches:
    """The micro-batches of this rank. Those of a step, of all ranks in order, make its batch."""
    if recipe.processes != ranks.world_size:
        raise InvalidInput(
            f"a recipe for {recipe.processes} process(es) on {ranks.world_size}", hint="start as many as it says"
        )
    check_images(
        data,
        recipe,
        label_weight=None if recipe.match is None else recipe.match.label_weight,
        images=None if match is None else len(match.targets.rows),
    )
    return TrainingBatches(
        data.train,
        recipe.preprocessing,
        batch_size=recipe.micro_batch,
        seed=recipe.seed,
        flip=data.flip,
        workers=workers,
        rank=ranks.rank,
        world_size=ranks.world_size,
        targets=None if match is None else match.targets,
    )


def _save(
    recipe: Recipe, out: Path, trainee: Trainee, match: Match | None, *, steps: int, half_precision: bool
) -> None:
    fields = msgspec.to_builtins(recipe)
    settings = {name: fields[name] for name in _IN_CHECKPOINT if fields[name] is not None}
    teacher = None
    if match is not None:
        save_sample(match.sample, out / TEACHER_FILE)
        teacher = match.entry(sha256(out / TEACHER_FILE))
        settings |= {name: fields["match"][name] for name in ("views", "label_weight")}
    save_checkpoint(
        out,
        trainee.network,
        backbone=recipe.backbone,
        backbone_options=recipe.backbone_options,
        preprocessing=recipe.preprocessing,
        data=recipe.data,
        training={**settings, "steps": steps},
        teacher=teacher,
        dtype=torch.float16 if half_precision else torch.float32,
    )
