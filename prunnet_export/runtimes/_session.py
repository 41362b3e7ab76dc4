"""Loaded models, and the checks of their shapes and of the batches that they get."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput

Batch = npt.NDArray[np.float32]

_CHANNELS = 3
_INPUT_RANK = 4
_OUTPUT_RANK = 2


@dataclass(frozen=True)
class Shape:
    """Input and output of an embedding network: float32 [batch, 3, height, width] to float32 [batch, dim].

    Attributes:
        batch: Images per call if the model fixes their number, else None.
        height: Pixels.
        width: Pixels.
        dim: Length of an embedding.
    """

    batch: int | None
    height: int
    width: int
    dim: int


def embedding_shape(
    model_file: Path, inputs: Sequence[Iterable[Any]], outputs: Sequence[Iterable[Any]], *, float32: bool
) -> Shape:
    """The shape of an embedding network.

    Args:
        model_file: File that the error names.
        inputs: One shape per input. A size that is not a positive number stands for an open axis.
        outputs: The same for the outputs.
        float32: Whether all inputs and outputs are float32.

    Raises:
        InvalidInput: the model is not an embedding network.
    """
    sources, results = _sizes(inputs), _sizes(outputs)
    if float32 and [*map(len, sources)] == [_INPUT_RANK] and [*map(len, results)] == [_OUTPUT_RANK]:
        [(batch, channels, height, width)], [(_, dim)] = sources, results
        if channels == _CHANNELS and height and width and dim:
            return Shape(batch, height, width, dim)
    described = f"{sources} -> {results}".replace("None", "?")
    raise InvalidInput(
        f"{model_file.name}: not an embedding network ({described}{'' if float32 else ', not all float32'})",
        hint="it has to map one float32 [batch, 3, height, width] to one float32 [batch, dim]",
    )


def _sizes(shapes: Sequence[Iterable[Any]]) -> list[list[int | None]]:
    return [[int(size) if isinstance(size, int | np.integer) and size > 0 else None for size in s] for s in shapes]


class Session(ABC):
    """A model that is loaded and ready to run on this device. ``shape`` has the sizes of its input and output."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def run(self, images: Batch) -> Batch:
        """Embeddings of a batch, float32 [n, dim], L2-normalised by the graph, in memory that the caller owns.

        Args:
            images: float32 [n, 3, height, width] in 0..1, RGB, n >= 1.

        Raises:
            InvalidInput: the batch has another shape or type, or the engine fails on it.
        """
        shape = self.shape
        wanted = (_CHANNELS, shape.height, shape.width)
        if images.dtype != np.float32 or images.ndim != _INPUT_RANK or images.shape[1:] != wanted:
            raise InvalidInput(
                f"the batch is {images.dtype} {list(images.shape)}",
                hint=f"this model takes float32 [n, {', '.join(map(str, wanted))}]",
            )
        if not len(images) or shape.batch not in {None, len(images)}:
            count = "one or more" if shape.batch is None else f"exactly {shape.batch}"
            raise InvalidInput(f"the batch has {len(images)} images", hint=f"this model takes {count} at a time")
        return self._infer(np.ascontiguousarray(images))

    def run_some(self, images: Batch) -> Batch:
        """Embeddings of a batch, as :meth:`run`, also of fewer images than the model takes at a time.

        If the model fixes the number of images, the last image is repeated, and its further embeddings are left out.

        Args:
            images: float32 [n, 3, height, width] in 0..1, RGB, n >= 1.

        Raises:
            InvalidInput: for the reasons of :meth:`run`.
        """
        missing = (self.shape.batch or 0) - len(images)
        if missing <= 0 or not len(images):
            return self.run(images)
        return self.run(np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]))[: len(images)]

    @abstractmethod
    def _infer(self, images: Batch) -> Batch:
        """Embeddings of a contiguous batch that has the right shape."""
