"""The index of tar shards: where each image lies. A million images take 36 megabytes and the text of their names."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._decoding import image_suffixes
from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import Labels
from prunnet_export.packed_names import PackedNames
from prunnet_export.training.data._image_files import Skipped
from prunnet_export.training.data._shard_samples import read_samples


@dataclass(frozen=True)
class ShardIndex:
    """The images of all shards.

    Attributes:
        shards: The tar files.
        names: The member's name of each image, n names.
        shard: The index of each image's shard, int32 [n].
        start: Where each image begins in its shard, bytes, int64 [n].
        size: The length of each image, bytes, int64 [n].
        labels: The class of each image, numbered from 0 without gaps, int64 [n]; None if no sample has one.
        unique: Whether no name is in two shards.
    """

    shards: Sequence[Path]
    names: PackedNames
    shard: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    labels: Labels | None
    unique: bool


def index_shards(shards: Sequence[Path], skipped: Skipped) -> ShardIndex:
    """Read the headers of all members of all shards, at least one.

    Raises:
        InvalidInput: there is no sample; a shard is no tar file, or cut short; a sample has no image or two, or no
            label where others have one; a label is no integer; a key is twice in one shard. The message names the shard
            and the member.
    """
    suffixes, names = image_suffixes(), PackedNames()
    columns = [array("q") for _ in range(6)]
    labelled, unlabelled = 0, ""
    for number, shard in enumerate(shards):
        for sample in read_samples(shard, suffixes, skipped):
            names.append(sample.name)
            if sample.label is None:
                unlabelled = unlabelled or f"{shard}: {sample.name}"
            else:
                labelled += 1
            # Hashes are compared instead of keys and names, because a set of a million strings takes much memory.
            hashes = hash(sample.key), hash(sample.name)
            row = (number, sample.start, sample.size, sample.label or 0, *hashes)
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    if len(names) == 0:
        raise InvalidInput(f"{shards[0]}: no sample in it", hint="a sample is KEY.jpg, and KEY.cls if it has a label")
    if labelled and unlabelled:
        raise InvalidInput(
            f"{unlabelled}: no label, and other samples have one", hint="give each sample a .cls, or none"
        )
    shard_of, start, size, labels, keys, name_hashes = (np.array(column, np.int64) for column in columns)
    twice = _first_twice(shard_of, keys)
    if twice is not None:
        raise InvalidInput(
            f"{shards[shard_of[twice]]}: {names[twice]}: a sample with this key came before",
            hint="a key is there once, and the members of its sample lie one after the other",
        )
    return ShardIndex(
        shards=shards,
        names=names,
        shard=shard_of.astype(np.int32),
        start=start,
        size=size,
        labels=np.unique(labels, return_inverse=True)[1].astype(np.int64) if labelled else None,
        unique=len(np.unique(name_hashes)) == len(names),
    )


def _first_twice(shard: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> int | None:
    """The first row whose key is in an earlier row of the same shard, or None."""
    order = np.lexsort((keys, shard))
    same = (keys[order[1:]] == keys[order[:-1]]) & (shard[order[1:]] == shard[order[:-1]])
    return int(order[1:][same].min()) if same.any() else None
