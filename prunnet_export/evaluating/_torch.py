"""Embedding with torch, and inputs of the training images for BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.network import Normalised, statistics_batches
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.teachers import TeacherSample
from prunnet_export.vectors import unit_vectors

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


def settling_pairs(
    train: ImageSplit, sample: TeacherSample, preprocessing: Preprocessing
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of :func:`settling_inputs`, each with the teacher's unit vectors of its images.

    Raises:
        InvalidInput: an image of the sample is missing, or cannot be read.
    """
    return zip(settling_inputs(train, sample, preprocessing), settling_vectors(sample), strict=True)


def settling_inputs(train: ImageSplit, sample: TeacherSample, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Inputs of the sample's training images, in batches.

    Raises:
        InvalidInput: an image of the sample is missing, or cannot be read.
    """
    row_of = {name: row for row, name in enumerate(train.relative_names)}
    for entries in _settling_batches(sample):
        missing = [sample.names[entry] for entry in entries if sample.names[entry] not in row_of]
        if missing:
            raise InvalidInput(
                f"image {missing[0]!r}, which the network was trained on, is missing",
                hint="give the images of the training, or train again",
            )
        images = [train.image(row_of[sample.names[entry]]) for entry in entries]
        yield torch.from_numpy(preprocessing(images))


def settling_vectors(sample: TeacherSample) -> Iterator[Tensor]:
    """The teacher's unit vectors of the sample's training images, in the batches of :func:`settling_inputs`."""
    for entries in _settling_batches(sample):
        yield torch.from_numpy(unit_vectors(sample.embeddings[entries]))


def _settling_batches(sample: TeacherSample) -> Iterator[Labels]:
    chosen = np.flatnonzero(~sample.is_query)
    return (chosen[batch] for batch in statistics_batches(len(chosen), len(chosen)))
