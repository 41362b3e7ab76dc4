"""Adapting a cut network on unlabelled images, so that its queries match the dense gallery."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from prunnet_export.network._batchnorm import reestimate_batchnorm
from prunnet_export.network._embedder import Embedder
from prunnet_export.network._ridge import RidgeSums

Pairs = Iterable[tuple[Tensor, Tensor]]


def adapt(
    module: Embedder,
    dense: Embedder,
    batches: Callable[[], Iterable[Tensor]],
    vectors: Callable[[], Iterable[Tensor]] | None = None,
) -> None:
    """Re-estimate the BatchNorm statistics of a cut network, then refit its projector.

    Args:
        module: The cut network. It is changed in place and left in evaluation mode.
        dense: The network that it was cut from. Its tensors do not change; it is left in evaluation mode.
        batches: Returns the images, the same ones at each call: float32 [b, 3, h, w] in 0..1.
        vectors: Returns a teacher's unit vectors of these images, [b, dim]. None if the dense network made the gallery.
    """
    reestimate_batchnorm(module, batches())
    if vectors is None:
        align_projector(module, dense, batches())
    else:
        module.norm.load_state_dict(dense.norm.state_dict())
        fit_projector(module, zip(batches(), vectors(), strict=True))


def align_projector(module: Embedder, dense: Embedder, batches: Iterable[Tensor]) -> float:
    """Refit the projector of a cut network to the outputs of the dense network's projector; see :class:`_Refit`.

    The BatchNorm after the projector becomes a copy of the dense network's. No label and no training is needed.

    Args:
        module: The cut network, with re-estimated BatchNorm statistics. It is changed in place.
        dense: The network that it was cut from.
        batches: Images float32 [b, 3, h, w] in 0..1. Without any batch the projector stays.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    dense.eval()
    refit = _Refit(module, ((images, dense.projector(dense.features(images))) for images in batches))
    refit.apply()
    module.norm.load_state_dict(dense.norm.state_dict())
    return refit.ridge


def fit_projector(module: Embedder, pairs: Pairs) -> float:
    """Refit the projector, so that embeddings come near to given vectors; see :class:`_Refit`. The norm stays.

    A regression predicts too little: its outputs lie nearer to their mean than the wanted vectors do. If the wanted
    vectors have a large mean, a search then finds what lies near this mean. So the outputs are stretched about it until
    they have the spread of the wanted vectors.

    Args:
        module: An embedder. Its projector is changed in place.
        pairs: Images float32 [b, 3, h, w] in 0..1, and the wanted embeddings [b, dim].

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    norm, mean, variance = module.norm, module.norm.running_mean, module.norm.running_var
    if mean is None or variance is None:
        raise ValueError("the norm has no running statistics")
    with torch.no_grad():
        scale = norm.weight / (variance + norm.eps).sqrt()
        # Dimensions that the norm holds constant want nothing.
        inverse = torch.where(scale == 0, 0, 1 / scale)
    refit = _Refit(module, ((images, mean + (wanted - norm.bias) * inverse) for images, wanted in pairs))
    refit.apply(refit.stretch(scale.double()))
    return refit.ridge


class _Refit:
    """The projector that gives wanted outputs best, in closed form.

    With centred features f of the network, wanted outputs z, and the projector W as it was,

        W' = argmin_V sum_i |V f_i - z_i|^2 + ridge |V - W|^2.

    :class:`RidgeSums` chooses the ridge. An infinite one keeps W. The bias makes the mean output equal to the mean of
    the z_i.

    Attributes:
        ridge: The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """

    def __init__(self, module: Embedder, pairs: Pairs) -> None:
        module.eval()
        self._projector, self.ridge = module.projector, float("inf")
        sums, weight = RidgeSums(), module.projector.weight.detach().double()
        features, wanted = [], []
        with torch.inference_mode():
            for images, outputs in pairs:
                features.append(module.features(images).double())
                wanted.append(outputs.double())
                sums.add(features[-1], wanted[-1] - features[-1] @ weight.T)
        if not sums.count:
            self._fitted = None
            return
        change = sums.solve()
        self.ridge = change.ridge
        self._fitted = replace(change, weight=weight + change.weight)
        self._features, self._wanted = torch.cat(features), torch.cat(wanted)

    def stretch(self, scale: Tensor) -> float:
        """How much larger the spread of the wanted outputs is than that of the refitted ones.

        Args:
            scale: A factor for each output [d].
        """
        if self._fitted is None:
            return 1
        given, wanted = (
            float(((outputs - outputs.mean(0)) * scale).square().sum())
            for outputs in (self._fitted(self._features), self._wanted)
        )
        return math.sqrt(wanted / given) if given > 0 else 1

    def apply(self, stretch: float = 1) -> None:
        """Give the projector its new weight and bias, the outputs stretched about their mean by a factor."""
        if self._fitted is None:
            return
        mean = self._wanted.mean(0)
        with torch.no_grad():
            self._projector.weight.copy_(stretch * self._fitted.weight)
            self._projector.bias.copy_(mean + stretch * (self._fitted.bias - mean))
