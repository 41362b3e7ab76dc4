"""Embedding a large gallery into a folder of files, by any number of processes that share the folder.

Each process takes files that nobody writes: first its own share, then those that others have not begun. The lock of a
killed process is released by the system, so another process, or the next run, makes its file. There is no server and no
message between the processes. The cache of a teacher's vectors is one file for each machine, which one command fills
under one lock. So it does not serve several machines.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._files import remove_leftovers
from prunnet_export._lock import FolderLock
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import embed_in_torch, inputs_of, save_gallery
from prunnet_export.network import Checkpoint
from prunnet_export.training import Ranks
from prunnet_export.vectors import read_arrays, shard_name

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shards:
    """The files of a gallery.

    Attributes:
        folder: Their folder.
        images: The images of the gallery.
        checkpoint: The network that embeds them.
        size: Images of a file; the last one may have fewer.
    """

    folder: Path
    images: ImageSplit
    checkpoint: Checkpoint
    size: int

    @property
    def count(self) -> int:
        """The number of files."""
        return -(-len(self.images) // self.size)

    def check_folder(self) -> None:
        """Raise InvalidInput if the folder holds files of another gallery."""
        own = {shard_name(number, self.count) for number in range(self.count)}
        others = sorted(file.name for file in self.folder.glob("*.npz") if file.name not in own)
        if others:
            raise InvalidInput(
                f"{self.folder} holds {others[0]}, which is of another gallery or another --shard-images",
                hint="choose another --out, or remove the old files",
            )

    def fill(self, ranks: Ranks) -> int:
        """Write the files that are missing or out of date, and wait for those that other processes write.

        Args:
            ranks: The numbers of this process.

        Returns:
            How many files this process wrote.

        Raises:
            InvalidInput: an image cannot be read.
            StorageError: the disk is full or read-only.
        """
        mine = range(ranks.rank, self.count, ranks.world_size)
        order = [*mine, *(number for number in range(self.count) if number not in mine)]
        written, busy = 0, []
        for number in order:
            if self._is_there(number):
                continue
            lock = FolderLock(self._file(number))
            if not lock.try_acquire():
                busy.append(number)
                continue
            written += self._write(number, lock)
        for number in busy:
            lock = FolderLock(self._file(number))
            lock.wait()  # another process writes it, or was killed
            written += self._write(number, lock)
        return written

    def _write(self, number: int, lock: FolderLock) -> int:
        """Write a file, unless another process did meanwhile; returns the number of files written."""
        try:
            remove_leftovers(self._file(number))
            if self._is_there(number):
                return 0
            rows = self._rows(number)
            _LOG.info("embedding images %d to %d of %d", rows[0] + 1, rows[-1] + 1, len(self.images))
            config = self.checkpoint.config
            origin = self._origin(rows)  # before the images are read, so that a later change is noticed
            vectors = embed_in_torch(
                self.checkpoint.network.embedder, inputs_of(self.images, rows, config.preprocessing)
            )
            save_gallery(
                self._file(number),
                vectors,
                labels=self.images.labels[rows[0] : rows[-1] + 1],
                network=config.weights_sha256,
                origin=np.array(origin),
                names=None if self._names is None else np.array(self._names[rows[0] : rows[-1] + 1]),
            )
            return 1
        finally:
            lock.close()

    def _is_there(self, number: int) -> bool:
        """Whether a file exists, is whole, and was made from these images by this network."""
        file = self._file(number)
        if not file.exists():
            return False
        try:
            arrays = read_arrays(file, what="a part of a gallery", hint="remove it")
        except InvalidInput as error:
            _LOG.warning("%s; it is written again", error.message)
            return False
        return str(arrays.get("origin")) == self._origin(self._rows(number))

    def _origin(self, rows: Sequence[int]) -> str:
        """A SHA-256 over all that the vectors of these images depend on."""
        config = self.checkpoint.config
        digest = hashlib.sha256(f"{config.weights_sha256} {config.preprocessing} {config.backbone}".encode())
        for row in rows:
            facts = f"{self.images.stamp(row)} {self.images.labels[row]}\n"
            digest.update(facts.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _rows(self, number: int) -> range:
        return range(number * self.size, min((number + 1) * self.size, len(self.images)))

    def _file(self, number: int) -> Path:
        return self.folder / shard_name(number, self.count)

    @cached_property
    def _names(self) -> list[str] | None:
        """The names of the images; None if a name is there twice."""
        names = list(self.images.relative_names)
        return names if len(set(names)) == len(names) else None
