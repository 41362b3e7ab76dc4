"""Whether zeros are still where a pattern put them, in a file whose layers go by other names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_MATRIX = 2


def layers_in_place(masks: Iterable[Mask], weights: Iterable[npt.NDArray[np.generic]]) -> int:
    """How many masks find a tensor of their own that is zero wherever the mask drops a weight.

    Exporters rename layers, transpose the weights of linear ones, and split the first axis of a grouped
    convolution's. So a layer is known by where its zeros are. Folding a norm can add some and moves none. A tensor
    that is zero everywhere would fit every mask of its size: it serves those alone that drop everything.

    Args:
        masks: bool, which weights of each layer stay, at the layer's shape; a matrix fits transposed too.
        weights: The file's tensors.
    """
    # The fewest zeros first: a tensor with many must not take the place of another.
    free = sorted((np.ravel(tensor == 0) for tensor in weights), key=np.count_nonzero)
    found = 0
    for mask in masks:
        orders = [mask, mask.T] if mask.ndim == _MATRIX else [mask]
        dropped = [~order.ravel() for order in orders]
        fits = [any(_fits(one, zeros) for one in dropped) for zeros in free]
        if True in fits:
            del free[fits.index(True)]
            found += 1
    return found


def _fits(dropped: Mask, zeros: Mask) -> bool:
    return dropped.size == zeros.size and bool(zeros[dropped].all()) and bool(zeros.all()) == bool(dropped.all())
