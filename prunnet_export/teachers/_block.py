"""Decoding and embedding one block of images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit
from prunnet_export.preprocessing import decode
from prunnet_export.teachers._cache import Block, stamp_of
from prunnet_export.teachers._row_file import Rows
from prunnet_export.teachers._teacher import Floats, Teacher
from prunnet_export.views import view


@dataclass(frozen=True, eq=False)
class Task:
    """What is embedded. It can be sent to another process.

    Attributes:
        split: The images.
        views: Vectors of each image.
        seed: Seed of the views.
        flip: Whether views may be mirrored.
        batch_size: Inputs that the teacher takes at once.
    """

    split: ImageSplit
    views: int
    seed: int
    flip: bool
    batch_size: int


def embed_block(task: Task, teacher: Teacher, indices: Rows) -> Block:
    """The vectors of some images.

    Only one decoded image and one batch of inputs are in memory.

    Raises:
        InvalidInput: an image cannot be read, or its vector is zero or not finite; the message names the image.
    """
    split, names = task.split, task.split.names
    hashes, stamps = np.empty((len(indices), 32), np.uint8), np.empty((len(indices), 16), np.uint8)
    vectors: list[Floats] = []
    inputs: list[Floats] = []
    for row, index in enumerate(indices.tolist()):
        # The stamp is taken first: if the image changes in between, the next run notices it.
        stamps[row] = stamp_of(split, index)
        encoded = split.encoded(index)
        hashes[row] = np.frombuffer(hashlib.sha256(encoded).digest(), np.uint8)
        image = decode(encoded, name=names[index])
        for number in range(task.views):
            one = view(image, seed=task.seed, view=number, index=index, flip=task.flip)
            inputs.append(teacher.prepare(one))
            if len(inputs) == task.batch_size:
                vectors.append(teacher.run(np.stack(inputs)))
                inputs.clear()
    if inputs:
        vectors.append(teacher.run(np.stack(inputs)))
    found = np.concatenate(vectors)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1) | ~found.any(axis=1))
    if len(bad):
        raise InvalidInput(
            f"{names[int(indices[bad[0] // task.views])]}: {teacher.name} gives a vector that is zero or not finite",
            hint="leave the image out, or check the teacher and its preprocessing",
        )
    return Block(indices, found.reshape(len(indices), task.views, teacher.dim), hashes, stamps)
