"""The dense network alone: the yardstick, and the teacher of every method that follows a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import nn

from prunnet_export.benchmarks.methods._base import Bench, Method, Trained
from prunnet_export.network import Embedder, PrunableNetwork, load_checkpoint, save_checkpoint
from prunnet_export.network_config import CONFIG_FILE
from prunnet_export.patterns import Channel, find_pattern, materialise
from prunnet_export.training import Recipe, SubnetworkGradients, new_trainee, reestimate_dense_batchnorm


@dataclass(frozen=True)
class DenseRun:
    """A dense network that is trained and frozen.

    Attributes:
        network: In evaluation mode, BatchNorm statistics re-estimated.
        classifier: On its un-normalised embedding.
        seconds: Spent on training it.
    """

    network: PrunableNetwork
    classifier: nn.Linear
    seconds: float


@dataclass(frozen=True)
class Dense(Method):
    """The dense network trained alone, and cut into channels afterwards by the scores that it has learned by itself."""

    name: str = "dense"

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = bench.settings.recipe(seed)
        # First: what cannot be cut is refused before anything is trained.
        Channel().plan(new_trainee(recipe, classes=bench.classes).network)
        run = dense_run(bench, seed)
        cuts = materialised(run.network, recipe, "channel", bench.settings.capacities)
        return Trained(run.network.embedder, {self.name: cuts}, run.seconds, cost=1)


def dense_run(bench: Bench, seed: int) -> DenseRun:
    """The dense network of a seed: read from the folder, or trained and left there.

    Raises:
        InvalidInput: the loss is not finite, or what lies in the folder is corrupt.
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


def materialised(
    network: PrunableNetwork, recipe: Recipe, pattern: str, capacities: tuple[float, ...]
) -> dict[float, Embedder]:
    """What the pattern can reach of the capacities, cut out of the network."""
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
    if (folder / CONFIG_FILE).is_file():  # another process has left it meanwhile, and others follow that one
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
