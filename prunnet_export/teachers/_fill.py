"""Computing the vectors of a teacher once, into a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import InvalidInput
from prunnet_export._lock import FolderLock
from prunnet_export.datasets import ImageSplit
from prunnet_export.teachers._block import Task
from prunnet_export.teachers._cache import CacheFiles
from prunnet_export.teachers._cache_key import CacheKey, hash_names
from prunnet_export.teachers._row_file import Rows
from prunnet_export.teachers._teacher import Teacher
from prunnet_export.teachers._vector_cache import VectorCache
from prunnet_export.teachers._workers import embed_blocks

BLOCK = 256
"""Images that a process embeds at a time. A killed run loses the blocks that were not finished."""

Progress = Callable[[int, int, str], None]


def teacher_vectors(
    teacher: Teacher,
    split: ImageSplit,
    *,
    flip: bool,
    folder: Path | None = None,
    views: int = 1,
    seed: int = 0,
    workers: int = 0,
    batch_size: int = 64,
    progress: Progress = lambda _done, _total, _text: None,
) -> VectorCache:
    """The vectors of all images of a split. Those that are in the cache already are not computed again.

    If another process fills the same cache, this one waits for it and uses its vectors.

    Args:
        teacher: The teacher.
        split: The images.
        flip: Whether views may be mirrored; pass the data set's ``flip``.
        folder: Folder of all caches; None takes ``teachers`` in the package's cache folder.
        views: Vectors of each image: of the image itself, and of ``views - 1`` views of it.
        seed: Seed of the views.
        workers: Number of processes that decode and embed, with one thread each; with 0 this process does it.
        batch_size: Inputs that the teacher takes at once.
        progress: Called with the number of images that are done, that of all images, and a text.

    Raises:
        InvalidInput: a number is out of its range, an image cannot be read, or its vector is zero or not finite.
        Unreachable: a worker process was killed, or memory ran out.
        StorageError: the disk is full or too small.
    """
    if min(views, batch_size, len(split)) < 1 or min(seed, workers) < 0:
        raise InvalidInput(
            f"{len(split)} images, {views} views, batch size {batch_size}, seed {seed}, {workers} workers",
            hint="images, views and batch size >= 1, seed and workers >= 0",
        )
    key = CacheKey(
        teacher=teacher.identity,
        name=teacher.name,
        dim=teacher.dim,
        count=len(split),
        names_sha256=hash_names(split.relative_names),
        views=views,
        # Without views, seed and flip change nothing.
        seed=seed if views > 1 else 0,
        flip=flip if views > 1 else False,
    )
    place = (folder or cache_folder() / "teachers") / key.folder_name()
    lock = FolderLock(place)
    lock.wait()  # what the other process computes is used here too
    try:
        with closing(CacheFiles(place, key)) as files:
            files.check_space()
            _fill(files, teacher, Task(split, views, seed, flip, batch_size), workers, progress)
    finally:
        lock.close()
    return VectorCache(place)


def _fill(files: CacheFiles, teacher: Teacher, task: Task, workers: int, progress: Progress) -> None:
    count, done = len(task.split), 0

    def blocks() -> Iterator[Rows]:
        nonlocal done
        for start in range(0, count, BLOCK):
            block = np.arange(start, min(start + BLOCK, count))
            pending = files.pending(block, task.split)
            done += len(block) - len(pending)
            if len(pending):
                yield pending
            else:
                progress(done, count, teacher.name)

    with closing(embed_blocks(task, teacher, blocks(), workers=workers)) as finished:
        for block in finished:
            files.write(block)
            done += len(block.indices)
            progress(done, count, teacher.name)
