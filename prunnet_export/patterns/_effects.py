"""How much a network's embeddings change if a unit is taken out, estimated from gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from prunnet_export.network import Embedder
from prunnet_export.patterns._groups import Axis, ChannelGroup

_TOGETHER = 4  # images for each random direction
_READ = 1  # the axis of the inputs in the weight of a convolution or a linear layer


def squared_effects(
    embedder: Embedder, groups: Sequence[ChannelGroup], batches: Iterable[Tensor], *, seed: int = 0
) -> list[Tensor]:
    """The mean squared change of the embedding, to first order, if a unit is taken out: float64 [units] per group.

    Let the weights w that read a unit shrink to (1 - t) w. Then the embedding e(x) changes by -t sum_w w de/dw. For a
    random direction v of independent normal numbers the expectation of (v . change)^2 is |change|^2, and one backward
    pass gives v . de/dw for all weights. This is the Taylor criterion of Molchanov et al. (CVPR 2019), with the
    network's own output in place of a loss (Gauss-Newton). It needs no labels. Unlike a loss, it does not vanish
    where the network is already good.

    Args:
        embedder: The network. Its tensors do not change.
        groups: Its channel groups.
        batches: Images float32 [b, 3, h, w] in 0..1. Without any batch all effects are 0.
        seed: Seed of the directions.
    """
    layers = {f"{n}.weight" for n, layer in embedder.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    readers = [[one for one in group.axes if one.dim == _READ and one.tensor in layers] for group in groups]
    names = sorted({axis.tensor for axes in readers for axis in axes})
    # Leaves of their own, so that a backbone may have frozen weights.
    weights = {name: embedder.get_parameter(name).detach().requires_grad_() for name in names}
    generator, training = torch.Generator().manual_seed(seed), embedder.training
    totals, images = [torch.zeros(group.units, dtype=torch.float64) for group in groups], 0
    embedder.eval()
    try:
        for part in (part for batch in batches for part in torch.split(batch, _TOGETHER)):
            with torch.enable_grad():
                embedding: Tensor = functional_call(embedder, weights, (part,))
                direction = torch.randn(embedding.shape, generator=generator).to(embedding)
                gradients = torch.autograd.grad(embedding, list(weights.values()), direction, allow_unused=True)
            profiles = {
                name: _inputs_sum(weight.detach() * gradient)
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
                if gradient is not None
            }
            changes = [_change(axes, profiles, group.units) for group, axes in zip(groups, readers, strict=True)]
            totals = [total + change.square() for total, change in zip(totals, changes, strict=True)]
            images += len(part)
    finally:
        embedder.train(training)
    return [total / max(1, images) for total in totals]


def _inputs_sum(values: Tensor) -> Tensor:
    """The sum for each input of a weight [out, in, ...], float64 [in]."""
    return values.sum(0).reshape(values.shape[_READ], -1).sum(1).cpu().double()


def _change(axes: Sequence[Axis], profiles: Mapping[str, Tensor], units: int) -> Tensor:
    """The change along the random direction for each unit, float64 [units]."""
    parts = [profiles[axis.tensor][axis.positions].sum(1) for axis in axes if axis.tensor in profiles]
    return sum(parts, torch.zeros(units, dtype=torch.float64))
