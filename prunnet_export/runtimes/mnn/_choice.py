"""The choice of layers that run sparse: those that are faster so, as measured on the device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prunnet_export._temporary import TemporaryFolder
from prunnet_export.runtimes.mnn._file import Layer, layers

Times = Mapping[str, float]

CLEAR_GAIN = 0.95  # largest ratio of sparse to dense time; smaller differences may be noise


class Variants(Protocol):
    """The MNN models that can be made of one network."""

    def dense(self) -> bytes:
        """The model with every layer dense."""

    def sparse(self, kept_dense: Sequence[Layer] = ()) -> bytes:
        """The model with every layer sparse that has enough zeros, except those in ``kept_dense``."""


def layers_faster_sparse(candidates: Collection[str], dense: Times, sparse: Times) -> set[str]:
    """The candidates that take at most 95 % of their dense time when they run sparse.

    Times are milliseconds by layer. A layer that is not in both is not faster.
    """
    timed = {name for name in candidates if name in dense and name in sparse}
    return {name for name in timed if sparse[name] <= CLEAR_GAIN * dense[name]}


def choose_fastest(variants: Variants, layer_times: Callable[[Path], Times] | None) -> bytes:
    """The model with each layer sparse or dense, whichever is faster; the dense model if sparse layers gain too little.

    A sparse kernel replaces Winograd's or Strassen's algorithm and can be slower. So each layer is timed both ways on
    the device, and the total time of the layers is compared with the dense model's. If ``layer_times`` is None, every
    layer with enough zeros is sparse, which can be slower than the dense model.
    """
    sparse = variants.sparse()
    candidates = [layer for layer in layers(sparse) if layer.multiplied is not None]
    if not candidates or layer_times is None:
        return sparse
    dense = variants.dense()
    with TemporaryFolder("mnn") as folder:

        def measure(name: str, content: bytes) -> Times:
            file = Path(folder) / f"{name}.mnn"
            file.write_bytes(content)
            return layer_times(file)

        dense_times = measure("dense", dense)
        sparse_times = measure("sparse", sparse)
        faster = layers_faster_sparse([layer.name for layer in candidates], dense_times, sparse_times)
        if not faster:
            return dense
        tried = [(sparse, sparse_times)]
        if kept_dense := [layer for layer in candidates if layer.name not in faster]:
            mixed = variants.sparse(kept_dense)
            tried.append((mixed, measure("mixed", mixed)))
    best, times = min(tried, key=lambda one: sum(one[1].values()))
    return best if sum(times.values()) <= CLEAR_GAIN * sum(dense_times.values()) else dense
