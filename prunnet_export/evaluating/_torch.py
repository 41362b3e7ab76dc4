"""Embedding with torch, and inputs of the training images for BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.network import Normalised, statistics_batches
from prunnet_export.preprocessing import Preprocessing

_BATCH = 50


def embed_in_torch(module: nn.Module, inputs: Iterable[Embeddings]) -> Embeddings:
    """Embeddings of an embedder, computed by torch: unit vectors, float32 [n, d]."""
    deployed = Normalised(module).eval()
    with torch.inference_mode():
        parts = [deployed(part).numpy() for batch in inputs for part in torch.split(torch.from_numpy(batch), _BATCH)]
    joined: Embeddings = np.concatenate(parts)
    return joined


def statistics_inputs(train: ImageSplit, preprocessing: Preprocessing, limit: int) -> Iterator[Tensor]:
    """Inputs of at most ``limit`` training images, in the batches that :func:`statistics_batches` chooses."""
    for batch in statistics_batches(len(train), limit):
        yield torch.from_numpy(preprocessing([train.image(int(index)) for index in batch]))
