"""Adapting a cut network on unlabelled images, so that its queries match the dense gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
    """Refit the projector of a cut network to the outputs of the dense network's projector; see :func:`_refit`.

    The BatchNorm after the projector becomes a copy of the dense network's. No label and no training is needed.

    Args:
        module: The cut network, with re-estimated BatchNorm statistics. It is changed in place.
        dense: The network that it was cut from.
        batches: Images float32 [b, 3, h, w] in 0..1. Without any batch the projector stays.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    dense.eval()
    pairs = ((images, dense.projector(dense.features(images))) for images in batches)
    ridge = _refit(module, pairs)
    module.norm.load_state_dict(dense.norm.state_dict())
    return ridge


def fit_projector(module: Embedder, pairs: Pairs) -> float:
    """Refit the projector, so that embeddings come near to given vectors; see :func:`_refit`. The norm stays.

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
        # Dimensions that the norm holds constant want nothing.
        inverse = torch.where(norm.weight == 0, 0, (variance + norm.eps).sqrt() / norm.weight)
    return _refit(module, ((images, mean + (wanted - norm.bias) * inverse) for images, wanted in pairs))


def _refit(module: Embedder, pairs: Pairs) -> float:
    """Refit a projector to wanted outputs in closed form.

    With centred features f of the network, wanted outputs z, and the projector W as it was,

        W' = argmin_V sum_i |V f_i - z_i|^2 + ridge |V - W|^2.

    :class:`RidgeSums` chooses the ridge. An infinite one keeps W. The bias makes the mean output equal to the mean of
    the z_i.

    Returns:
        The ridge as a multiple of the mean eigenvalue; infinity if W was kept.
    """
    module.eval()
    sums, weight = RidgeSums(), module.projector.weight.detach().double()
    with torch.inference_mode():
        for images, wanted in pairs:
            features = module.features(images).double()
            sums.add(features, wanted.double() - features @ weight.T)
    if not sums.count:
        return float("inf")
    change = sums.solve()
    with torch.no_grad():
        module.projector.bias.copy_(change.bias)
        module.projector.weight.copy_(weight + change.weight)
    return change.ridge
