"""Seeded batches: the images of a step depend only on the seed, the epoch and the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, Sampler

from prunnet_export._child import end_with_multiprocessing_parent
from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export._interrupts import block_interrupts
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.preprocessing import BACKGROUND, Preprocessing
from prunnet_export.views import view as view_of


class Batch(NamedTuple):
    """Images, and what belongs to them.

    Attributes:
        images: float32 [b, 3, h, w] in 0..1.
        labels: int64 [b].
        vectors: The teacher's vectors of the images, float32 [b, d]; None if there is no teacher.
    """

    images: torch.Tensor
    labels: torch.Tensor
    vectors: torch.Tensor | None = None

    def to(self, device: torch.device | None) -> Batch:
        """The batch on a device."""
        return Batch(*(None if one is None else one.to(device) for one in self))  # type: ignore[arg-type]  # as it was


class Targets(ABC):
    """A teacher's unit vectors of the images of a split.

    Attributes:
        rows: int64 [n], the images to learn from: their rows in the split.
        views: Number of augmented versions of each image of which the teacher's vectors are known. With 0, the vectors
            are those of the plain images, which are then only augmented a little.
        dim: Length of the vectors.
    """

    rows: Labels
    views: int
    dim: int

    @abstractmethod
    def take(self, rows: Labels, views: Labels) -> npt.NDArray[np.float32]:
        """Unit vectors float32 [k, dim] of a view of each of k images; ``views`` are below ``max(1, self.views)``."""


_Key = tuple[int, int, int]  # epoch, image and view
_Packed = tuple[npt.NDArray[np.uint8], Labels] | InvalidInput
_ORDER, _AUGMENTATION = 0, 1  # parts of the seeds, so that the two use different generators
_BORDER = 16  # the share of a side that a border adds at each end


class TrainingBatches:
    """Augmented batches of a split. A resumed run gets the same batches as an uninterrupted one.

    The order of epoch e is drawn from (seed, e), and the crop and flip of image i from (seed, e, i). The k-th batches
    of all ranks together are the k-th batch of one process with ``world_size`` times the batch size. Images at the end
    of an epoch that do not fill a batch on every rank are left out. Worker processes are started once and serve all
    epochs. Iterate over one epoch at a time.

    Args:
        split: The images.
        preprocessing: How an image is resized, and the size of the crop; the crop's position is random.
        batch_size: Images per batch and rank.
        seed: The seed, at least 0.
        flip: Mirror an image with probability 1/2 (pass the data set's ``flip``).
        workers: Number of processes that decode images; with 0 this process decodes them.
        rank: Number of this process.
        world_size: Number of processes that train together.
        targets: The teacher's vectors. Only its rows of the split are used.

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
        targets: Targets | None = None,
    ) -> None:
        rows = np.arange(len(split)) if targets is None else targets.rows
        views = 0 if targets is None else targets.views
        if batch_size < 1 or min(seed, workers) < 0 or not 0 <= rank < world_size:
            raise InvalidInput(
                f"batch size {batch_size}, seed {seed}, {workers} workers, rank {rank} of {world_size}",
                hint="batch size >= 1, seed >= 0, workers >= 0, 0 <= rank < world size",
            )
        if len(rows) < batch_size * world_size:
            raise InvalidInput(
                f"{len(rows)} images do not fill a batch of {batch_size} on {world_size} process(es)",
                hint="lower the batch size",
            )
        self._targets, self._labels = targets, split.labels
        self._order = _EpochOrder(rows, views=views, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)
        self._loader: DataLoader[_Packed] = DataLoader(
            _Samples(split, preprocessing, seed=seed, flip=flip, views=views),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_keep_batch,
            persistent_workers=workers > 0,
            # A fork can hang while torch's threads run. Workers start once, so the slower spawn does not matter.
            multiprocessing_context="spawn" if workers > 0 else None,
            worker_init_fn=end_with_multiprocessing_parent,
            generator=torch.Generator(),  # without it every epoch would advance torch's global generator
        )

    def __len__(self) -> int:
        """The number of batches in one epoch."""
        return self._order.per_epoch

    def epoch(self, epoch: int, *, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from ``start_batch`` on.

        Raises:
            InvalidInput: the epoch or the batch does not exist, or an image cannot be read.
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
            with block_interrupts() if self._loader.num_workers else nullcontext():
                packed = iter(self._loader)  # starts the workers
            yield from map(self._batch, packed)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise Unreachable(
                "a process that decodes images was killed", hint="memory may be short: lower --workers, or give none"
            ) from None

    def _batch(self, packed: _Packed) -> Batch:
        if isinstance(packed, InvalidInput):
            raise packed
        pixels, keys = packed
        # The layout stays channels last, in which oneDNN is up to twice as fast for narrow networks.
        images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
        rows, views = keys[:, 1], keys[:, 2]
        # The vectors are read here, and not in the workers, so that these do not each map the file.
        vectors = None if self._targets is None else torch.from_numpy(self._targets.take(rows, views))
        return Batch(images, torch.from_numpy(self._labels[rows]), vectors)


class _EpochOrder(Sampler[list[_Key]]):
    """The images of each batch of this rank. It stays in the main process, so a new epoch needs no new workers."""

    def __init__(self, rows: Labels, *, views: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.rows, self.views, self.batch_size, self.seed = rows, views, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.per_epoch = len(rows) // (batch_size * world_size)
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.per_epoch - self.start

    def __iter__(self) -> Iterator[list[_Key]]:
        epoch = self.epoch
        order = np.random.default_rng((_ORDER, self.seed, epoch)).permutation(len(self.rows))
        for batch in range(self.start, self.per_epoch):
            first = (batch * self.world_size + self.rank) * self.batch_size
            chosen = map(int, self.rows[order[first : first + self.batch_size]])
            # Every image shows all of its views in as many epochs.
            yield [(epoch, row, (epoch + row) % max(1, self.views)) for row in chosen]


class _Samples(Dataset[_Packed]):
    """Augmented batches of a split, decoded in the worker process that has this object."""

    def __init__(self, split: ImageSplit, preprocessing: Preprocessing, *, seed: int, flip: bool, views: int) -> None:
        self.split, self.preprocessing = split, preprocessing
        self.seed, self.flip, self.views = seed, flip, views

    def __getitems__(self, keys: list[_Key]) -> _Packed:
        """Pixels uint8 [b, h, w, 3] and the keys int64 [b, 3], or the error.

        The error is returned, because a raised one would reach the main process as a worker's traceback. The pixels are
        bytes, a quarter of the size of floats. Numpy arrays do not use shared memory, which is small in containers.
        """
        pixels = np.empty((len(keys), *self.preprocessing.size, 3), np.uint8)
        try:
            for position, key in enumerate(keys):
                pixels[position] = np.asarray(self._image(*key))
        except InvalidInput as error:
            return error
        return pixels, np.array(keys, np.int64)

    def _image(self, epoch: int, row: int, view: int) -> Image.Image:
        image = self.split.image(row)
        if self.views:
            return self.preprocessing.cropped(view_of(image, seed=self.seed, view=view, index=row, flip=self.flip))
        rng = np.random.default_rng((_AUGMENTATION, self.seed, epoch, row))
        return _augmented(image, self.preprocessing, rng, flip=self.flip)


def _augmented(
    image: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator, *, flip: bool
) -> Image.Image:
    """The image, resized as on the device, cropped at a random position, and mirrored with probability 1/2."""
    image, (height, width) = preprocessing.resized(image), preprocessing.size
    if image.size == (width, height) and preprocessing.fit != "crop":
        # Nothing is left around the crop, so a border gives room for the random position.
        border = (width // _BORDER, height // _BORDER)
        image = ImageOps.expand(image, border, BACKGROUND)
    left, top = (int(rng.integers(extent - side + 1)) for extent, side in zip(image.size, (width, height), strict=True))
    mirror = bool(rng.integers(2))  # always drawn, so that the generator's state does not depend on `flip`
    image = image.crop((left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and mirror else image


def _keep_batch(batch: object) -> object:
    # Not a lambda, because workers have to import it.
    return batch
