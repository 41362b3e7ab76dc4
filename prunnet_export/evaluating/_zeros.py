"""Checking that zeros are still where a pattern put them, in a file whose layers have other names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_MATRIX = 2


def layers_in_place(masks: Iterable[Mask], weights: Iterable[npt.NDArray[np.generic]]) -> int:
    """The number of masks that match a tensor of the file: the tensor is zero wherever the mask drops a weight.

    Exporters rename layers, transpose the weights of linear layers, and split the first axis of grouped convolutions.
    So a layer is recognised by the places of its zeros. Folding a norm can add zeros, but moves none. A tensor of
    zeros would match every mask of its size, so it only matches a mask that drops everything. A tensor matches once.

    Args:
        masks: For each layer, a bool array of its shape, true where a weight stays; a matrix may be transposed.
        weights: The tensors of the file.
    """
    # Tensors with few zeros come first, because a tensor with many zeros may also match another layer's mask.
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
