"""Seeded batches: what a step sees is a function of the seed, the epoch and the step, not of the history."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.preprocessing import Preprocessing

Batch = tuple[torch.Tensor, torch.Tensor]
_Key = tuple[int, int]  # epoch and image
_Packed = tuple[npt.NDArray[np.uint8], Labels] | InvalidInput
_ORDER, _AUGMENTATION = 0, 1  # parts of the seeds, so that no two draws share a generator


class TrainingBatches:
    """Augmented batches of a split, the same ones after an interruption.

    The order of epoch e is drawn from (seed, e), and the crop and flip of image i from (seed, e, i). Batch k
    of all ranks together is batch k of one process with ``world_size`` times the batch size. What does not
    fill a batch on every rank is left out. Worker processes are started once and serve all epochs; iterate
    over one epoch at a time.

    Args:
        split: The images.
        preprocessing: Length of the shorter side and side of the crop; the crop's position is drawn.
        batch_size: Images per batch and rank.
        seed: At least 0.
        flip: Mirror every other image (pass the data set's ``flip``).
        workers: Processes that decode; 0 decodes in this one.
        rank: This process among those that train together.
        world_size: How many there are.

    Raises:
        InvalidInput: a number is out of its range, or the split does not fill one batch.
    """

    def __init__(
        self,
        split: ImageSplit,
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        seed: int = 0,
        flip: bool = False,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or min(seed, workers) < 0 or not 0 <= rank < world_size:
            raise InvalidInput(
                f"batch size {batch_size}, seed {seed}, {workers} workers, rank {rank} of {world_size}",
                hint="batch size >= 1, seed >= 0, workers >= 0, 0 <= rank < world size",
            )
        if len(split) < batch_size * world_size:
            raise InvalidInput(
                f"{len(split)} images do not fill a batch of {batch_size} on {world_size} process(es)",
                hint="lower the batch size",
            )
        self._order = _EpochOrder(len(split), batch_size, seed, rank, world_size)
        self._loader: DataLoader[_Packed] = DataLoader(
            _Samples(split, preprocessing, seed=seed, flip=flip),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_unchanged,
            persistent_workers=workers > 0,
            # Forking a process in which torch's threads run can hang; workers start once, so spawning is cheap.
            multiprocessing_context="spawn" if workers > 0 else None,
            generator=torch.Generator(),  # its own, or every epoch would advance torch's global one
        )

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._order.per_epoch

    def epoch(self, epoch: int, *, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from ``start_batch`` on.

        Returns:
            Images float32 [b, 3, crop, crop] in 0..1 and labels int64 [b].

        Raises:
            InvalidInput: the epoch or the batch does not exist, or an image cannot be read; the message names
                it.
            Unreachable: a worker process was killed.
        """
        if epoch < 0 or not 0 <= start_batch <= len(self):
            raise InvalidInput(
                f"there is no batch {start_batch} of epoch {epoch}",
                hint=f"an epoch has {len(self)} batches; both count from 0",
            )
        return self._batches(epoch, start_batch)

    def _batches(self, epoch: int, start_batch: int) -> Iterator[Batch]:
        self._order.epoch, self._order.start = epoch, start_batch
        try:
            with _no_interrupt() if self._loader.num_workers else nullcontext():
                packed = iter(self._loader)  # starts the workers
            yield from map(_to_tensors, packed)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise Unreachable(
                "a process that decodes images was killed", hint="memory may be short: lower --workers, or give none"
            ) from None


class _EpochOrder(Sampler[list[_Key]]):
    """The images of each batch of this rank.

    It lives in the main process, so that another epoch needs no new workers.
    """

    def __init__(self, images: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.per_epoch = images // (batch_size * world_size)
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.per_epoch - self.start

    def __iter__(self) -> Iterator[list[_Key]]:
        epoch = self.epoch
        order = np.random.default_rng((_ORDER, self.seed, epoch)).permutation(self.images)
        for batch in range(self.start, self.per_epoch):
            first = (batch * self.world_size + self.rank) * self.batch_size
            yield [(epoch, int(index)) for index in order[first : first + self.batch_size]]


class _Samples(Dataset[_Packed]):
    """Augmented batches of a split, decoded where this object was sent to."""

    def __init__(self, split: ImageSplit, preprocessing: Preprocessing, *, seed: int, flip: bool) -> None:
        self.split, self.preprocessing, self.seed, self.flip = split, preprocessing, seed, flip

    def __getitems__(self, keys: list[_Key]) -> _Packed:
        """Pixels uint8 [b, crop, crop, 3] and labels, or the error.

        The error is returned, because a raised one would reach the main process as a worker's traceback.
        Pixels travel as bytes: a quarter of the floats, and nothing in shared memory, which is small in
        containers.
        """
        side = self.preprocessing.crop
        pixels = np.empty((len(keys), side, side, 3), np.uint8)
        try:
            for row, (epoch, index) in enumerate(keys):
                rng = np.random.default_rng((_AUGMENTATION, self.seed, epoch, index))
                image = _augmented(self.split.image(index), self.preprocessing, rng, flip=self.flip)
                pixels[row] = np.asarray(image)
        except InvalidInput as error:
            return error
        return pixels, self.split.labels[[index for _, index in keys]]


def _augmented(
    image: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator, *, flip: bool
) -> Image.Image:
    """The image, resized as on the device, cropped at a random place, and mirrored every other time."""
    image, crop = preprocessing.resized(image), preprocessing.crop
    left, top = (int(rng.integers(extent - crop + 1)) for extent in image.size)
    mirror = bool(rng.integers(2))  # drawn even where it is not used: crops do not depend on `flip`
    image = image.crop((left, top, left + crop, top + crop))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and mirror else image


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back, also from the processes that are started here: it is this process that ends them.

    A terminal interrupts all of them at once, and one that is still importing torch would print its traceback.
    """
    resource_tracker.ensure_running()  # lets Ctrl-C through again once it has started, which the first worker would do
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _unchanged(batch: object) -> object:
    # A function of the module, because workers have to import it.
    return batch


def _to_tensors(batch: _Packed) -> Batch:
    if isinstance(batch, InvalidInput):
        raise batch
    pixels, labels = batch
    # The values stay where they lie, channels last: oneDNN is up to twice as fast with narrow networks in that layout.
    images = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return torch.from_numpy(images), torch.from_numpy(labels)
