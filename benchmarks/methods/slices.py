"""Slimmable networks: a narrower width uses the first channels of a wider one, but has its own BatchNorms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from prunnet_export.benchmarks.methods._base import Bench, Method, Trained
from prunnet_export.benchmarks.methods.aggregation import Uncertainty
from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns import Channel, ChannelSubnetwork
from prunnet_export.training import Batch, Gradients, Recipe, conflict_aware, new_optimizer, new_trainee, orders

DENSE = -1  # the number of the full width
# A function of the Gram matrix [m, m], the losses [m] and a generator. It returns the weights of the losses [m] and the
# coefficients of the gradients of shared parameters.
Mixture = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def first_units(network: PrunableNetwork, capacity: float, *, channel_multiple: int) -> ChannelSubnetwork:
    """The channel cut of the network that keeps the first units. The scores are not used.

    Raises:
        InvalidInput: the capacity is out of range, or below the narrowest cut.
        UnsupportedPattern: no channel can be cut.
    """
    channel = Channel(channel_multiple)
    plan, [widths] = channel.plan(network), channel.widths(network, [capacity])
    return ChannelSubnetwork(plan, capacity, [torch.arange(width) for width in widths])


class Slices(nn.Module):
    """A network whose narrower widths are its first channels.

    Each width has its own scale and shift in every BatchNorm. They have the dense shape, so that another width can use
    them too. All other parameters are shared. The scores of the network are not used.
    """

    def __init__(self, network: PrunableNetwork, capacities: Sequence[float], *, channel_multiple: int) -> None:
        super().__init__()
        self.embedder, self.capacities = network.embedder, tuple(capacities)
        # The network is in a list, so that its parameters are not registered twice.
        self._network, self._multiple = [network], channel_multiple
        self._cuts = [first_units(network, capacity, channel_multiple=channel_multiple) for capacity in capacities]
        self._norms = [
            f"{name}.{kind}"
            for name, module in self.embedder.named_modules()
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine
            for kind in ("weight", "bias")
        ]
        own = [nn.Parameter(self.embedder.get_parameter(name).detach().clone()) for name in self._norms]
        self._own = nn.ModuleList(nn.ParameterList(deepcopy(own)) for _ in capacities)

    def shared(self) -> list[nn.Parameter]:
        """The parameters that all widths share."""
        return [one for name, one in self.embedder.named_parameters() if name not in self._norms]

    def own(self, width: int) -> list[nn.Parameter]:
        """The parameters that only this width uses."""
        if width == DENSE:
            return [self.embedder.get_parameter(name) for name in self._norms]
        return list(self._own[width].parameters())

    def forward(self, images: Tensor, width: int = DENSE) -> Tensor:
        """The un-normalised embedding [b, dim] of images [b, 3, h, w] at a width."""
        if width == DENSE:
            dense: Tensor = self.embedder(images)
            return dense
        cut = self._cuts[width]
        tensors = cut.gather(self._tensors(width))
        embedding: Tensor = functional_call(cut.structure.train(self.training), tensors, (images,))
        return embedding

    def cost(self) -> float:
        """The cost of a forward and backward pass of all widths, as a multiple of the dense one's."""
        return 1 + sum(cut.capacity for cut in self._cuts)

    def network_at(self, capacity: float) -> Embedder:
        """The network at any capacity, with the BatchNorms of the smallest trained width that is at least as wide.

        Raises:
            InvalidInput: the capacity is below the narrowest cut.
        """
        cut = first_units(self._network[0], capacity, channel_multiple=self._multiple)
        wide = [width for width, trained in enumerate(self._cuts) if trained.capacity >= cut.capacity]
        nearest = min(wide, key=lambda width: self._cuts[width].capacity, default=DENSE)
        module = deepcopy(cut.structure)
        with torch.no_grad():
            tensors = cut.gather(self._tensors(nearest))
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                tensor.copy_(tensors[name])
        return module.eval()

    def _tensors(self, width: int) -> dict[str, Tensor]:
        named = {**dict(self.embedder.named_parameters()), **dict(self.embedder.named_buffers())}
        return {**named, **dict(zip(self._norms, self.own(width), strict=True))}


def plain_sum(recipe: Recipe) -> Mixture:
    """The sum of the losses of all widths."""
    del recipe
    return lambda _gram, losses, _generator: (torch.ones_like(losses), torch.ones_like(losses))


def self_compatible(recipe: Recipe) -> Mixture:
    """Switchable representation learning with self-compatibility (SFSC; Wu et al., CVPR 2023).

    The method adds two things to the plain sum. The loss of each width is weighted by its uncertainty. The gradients of
    the shared parameters, one vector for each width, lose their components along those that they conflict with. Here
    the uncertainty is a learned variance of each loss (Kendall et al., CVPR 2018); the paper estimates it from the
    predictions.
    """
    uncertainty = Uncertainty(recipe.learning_rate)

    def mix(gram: Tensor, losses: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        weights = uncertainty.weights(losses)
        weighted = (weights.unsqueeze(1) * gram * weights).unsqueeze(0)
        order = orders(len(losses), generator)
        [[projected]] = conflict_aware([weighted], order, rule="progressive", gamma=0)
        return weights, projected * weights

    return mix


@dataclass(frozen=True)
class Slimmable(Method):
    """Slimmable networks (Yu et al., ICLR 2019): every step trains all widths, and each has its own BatchNorms.

    The classifier is shared, so that the embeddings of all widths are compatible. A width that was not trained uses the
    BatchNorms of the next wider one. The widths are fixed, so ``random_capacities`` has no effect.

    Attributes:
        name: The name for ``--methods``.
        mixture: A function that makes the rule to combine the gradients of the widths.
    """

    name: str
    mixture: Callable[[Recipe], Mixture] = plain_sum

    def train(self, bench: Bench, seed: int) -> Trained:
        """See :class:`Method`."""
        recipe = bench.settings.recipe(seed)
        trainee = new_trainee(recipe, classes=bench.classes)
        slices = Slices(trainee.network, recipe.capacities, channel_multiple=recipe.channel_multiple).train()
        gradients = _gradients(slices, trainee.classifier, self.mixture(recipe))
        optimizer = new_optimizer([*slices.parameters(), *trainee.classifier.parameters()], recipe)
        seconds = bench.train(recipe, optimizer, gradients, what=self.name)
        reached = Channel(recipe.channel_multiple).reachable(trainee.network, bench.settings.capacities)
        queries = {capacity: slices.network_at(capacity) for capacity in reached}
        return Trained(trainee.network.embedder, {self.name: queries}, seconds, slices.cost())


def _gradients(slices: Slices, classifier: nn.Linear, mixture: Mixture) -> Gradients:
    shared = [*slices.shared(), *classifier.parameters()]
    widths = (*range(len(slices.capacities)), DENSE)

    def gradients(batches: Sequence[Batch], _step: int, generator: torch.Generator) -> dict[str, float]:
        [batch] = batches
        losses, vectors, own = [], [], []
        for width in widths:
            loss = F.cross_entropy(classifier(slices(batch.images, width)), batch.labels)
            computed = torch.autograd.grad(loss, [*shared, *slices.own(width)], materialize_grads=True)
            losses.append(loss.detach())
            vectors.append(torch.cat([one.flatten() for one in computed[: len(shared)]]))
            own.append(computed[len(shared) :])
        stacked = torch.stack(vectors)
        weights, coefficients = mixture(stacked @ stacked.T, torch.stack(losses), generator)
        mixed = torch.split(coefficients @ stacked, [parameter.numel() for parameter in shared])
        for parameter, gradient in zip(shared, mixed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        for width, weight, of_width in zip(widths, weights, own, strict=True):
            for parameter, gradient in zip(slices.own(width), of_width, strict=True):
                parameter.grad = weight * gradient
        return {"loss": losses[-1].item()}

    return gradients
