"""Training the dense network alone. It is the baseline, and the fixed network of the one-to-one methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import nn

from prunnet_export.benchmarks.methods._base import Bench, Method, Trained
from prunnet_export.network import Embedder, PrunableNetwork, load_checkpoint, save_checkpoint
from prunnet_export.network_config import CONFIG_FILE
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.training import (
    Recipe,
    SubnetworkGradients,
    allocate_widths,
    new_trainee,
    reestimate_dense_batchnorm,
)


@dataclass(frozen=True)
class DenseRun:
    """A dense network that is trained and frozen.

    Attributes:
        network: The network, in evaluation mode, with re-estimated BatchNorm statistics.
        classifier: The classifier of its un-normalised embedding.
        seconds: Time of its training steps.
    """

    network: PrunableNetwork
    classifier: nn.Linear
    seconds: float


@dataclass(frozen=True)
class Dense(Method):
    """The dense network is trained alone; later its channels are cut by its scores."""

    name: str = "dense"

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = bench.settings.recipe(seed)
        new_trainee(recipe, classes=bench.classes)  # a backbone that cannot be cut is refused before the training
        run = dense_run(bench, seed)
        allocate_widths(run.network, recipe, classes=bench.classes)
        cuts = cut_subnetworks(run.network, recipe, "channel", bench.settings.capacities)
        return Trained(run.network.embedder, {self.name: cuts}, run.seconds, cost=1)


def dense_run(bench: Bench, seed: int) -> DenseRun:
    """The dense network of a seed. It is read from the folder, or trained and stored there.

    Raises:
        InvalidInput: the loss is not finite, or a file in the folder is corrupt.
        StorageError: the folder cannot be written.
    """
    folder = bench.folder / f"dense-{seed}"
    if not (folder / CONFIG_FILE).is_file():
        _train(bench, seed, folder)
    checkpoint = load_checkpoint(folder)
    classifier = nn.Linear(checkpoint.config.embedding_dim, bench.classes)
    classifier.load_state_dict({name.removeprefix("classifier."): one for name, one in checkpoint.extra.items()})
    classifier.requires_grad_(requires_grad=False)
    return DenseRun(checkpoint.network, classifier, cast("float", checkpoint.config.training["seconds"]))


def cut_subnetworks(
    network: PrunableNetwork, recipe: Recipe, pattern: str, capacities: tuple[float, ...]
) -> dict[float, Embedder]:
    """The cut subnetworks at those of the capacities that the pattern can reach."""
    found = find_pattern(pattern, recipe.channel_multiple)
    reached = found.reachable(network, capacities)
    chosen = found.subnetworks(network, reached)
    return {one.asked: materialise(network, one) for one in chosen}


def _train(bench: Bench, seed: int, folder: Path) -> None:
    recipe = bench.settings.recipe(seed, patterns=())
    trainee = new_trainee(recipe, classes=bench.classes)
    gradients = SubnetworkGradients(recipe, trainee, steps=bench.settings.steps)
    seconds = bench.train(recipe, trainee.optimizer, gradients, what="dense")
    reestimate_dense_batchnorm(trainee.network, bench.data, recipe)
    if (folder / CONFIG_FILE).is_file():  # another process has stored it meanwhile, and other runs already use that one
        return
    save_checkpoint(
        folder,
        trainee.network,
        backbone=recipe.backbone,
        backbone_options=recipe.backbone_options,
        preprocessing=recipe.preprocessing,
        data=recipe.data,
        training={"steps": bench.settings.steps, "seed": seed, "seconds": seconds},
        extra={f"classifier.{name}": one for name, one in trainee.classifier.state_dict().items()},
    )
