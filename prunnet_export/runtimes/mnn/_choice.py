"""Which layers run sparse: those that were measured to be faster so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from prunnet_export.runtimes.mnn._file import Layer, layers

Times = Mapping[str, float]

CLEAR_GAIN = 0.95  # of the dense time; nearer than that, two measurements of the same thing can differ


class Variants(Protocol):
    """What can be made of a network."""

    def dense(self) -> bytes:
        """Every layer dense."""

    def sparse(self, kept_dense: Sequence[Layer] = ()) -> bytes:
        """Every layer sparse that has the zeros for it, but for those that are kept_dense."""


def layers_faster_sparse(candidates: Collection[str], dense: Times, sparse: Times) -> set[str]:
    """The candidates that take at most 95 % of their dense time when they run sparse.

    Times are milliseconds by layer; what was not timed in both is not faster.
    """
    timed = {name for name in candidates if name in dense and name in sparse}
    return {name for name in timed if sparse[name] <= CLEAR_GAIN * dense[name]}


def choose_fastest(variants: Variants, layer_times: Callable[[Path], Times] | None) -> bytes:
    """The model with each layer sparse or dense, whichever is faster, and with none sparse where that is no gain.

    A sparse kernel takes the place of Winograd's or Strassen's, and can lose by it. So each layer is timed both
    ways on the device, and what comes out is held against the dense model, by the layers' sum. Where ``layer_times`` is
    None, every layer that has the zeros for it is sparse, which can be slower than none.
    """
    sparse = variants.sparse()
    candidates = [layer for layer in layers(sparse) if layer.multiplied is not None]
    if not candidates or layer_times is None:
        return sparse
    dense = variants.dense()
    with TemporaryDirectory(prefix="prunnet-mnn-") as folder:

        def timed(name: str, content: bytes) -> Times:
            file = Path(folder) / f"{name}.mnn"
            file.write_bytes(content)
            return layer_times(file)

        dense_times = timed("dense", dense)
        sparse_times = timed("sparse", sparse)
        faster = layers_faster_sparse([layer.name for layer in candidates], dense_times, sparse_times)
        if not faster:
            return dense
        tried = [(sparse, sparse_times)]
        if kept_dense := [layer for layer in candidates if layer.name not in faster]:
            mixed = variants.sparse(kept_dense)
            tried.append((mixed, timed("mixed", mixed)))
    best, times = min(tried, key=lambda one: sum(one[1].values()))
    return best if sum(times.values()) <= CLEAR_GAIN * sum(dense_times.values()) else dense
