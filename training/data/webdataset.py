"""Tar shards in the layout of the library webdataset: a sample is a few members with one key, e.g. 1.jpg and 1.cls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from prunnet_export._decoding import decode
from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export.datasets import DatasetFormat, ImageSplit, RetrievalData
from prunnet_export.packed_names import PrefixedNames
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._image_files import NO_IMAGE, report_skipped, unreadable, visible
from prunnet_export.training.data._shards import ShardIndex, index_shards

_TAR = ".tar"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class ShardSplit(ImageSplit):
    """The images in tar shards. An image is read at its place in the shard.

    A shard is opened for each image, so that the split can be sent to another process, and so that thousands of shards
    are not open together. Opening takes microseconds, decoding milliseconds.

    Args:
        index: The places of the images.
    """

    def __init__(self, index: ShardIndex) -> None:
        self._index = index
        self.names = PrefixedNames(index.names, index.shard, [f"{shard}:" for shard in index.shards])
        self.labels = np.zeros(len(index.names), np.int64) if index.labels is None else index.labels

    @property
    def relative_names(self) -> Sequence[str]:
        """The members' names, e.g. ``000123.jpg``; with the shard, ``a.tar/000123.jpg``, if a name is in two shards."""
        index = self._index
        if index.unique:
            return index.names
        return PrefixedNames(index.names, index.shard, [f"{shard.name}/" for shard in index.shards])

    def image(self, index: int) -> Image.Image:
        """Image ``index``, decoded, RGB, upright, with transparency laid on white.

        Raises:
            InvalidInput: the shard cannot be read, or the member is no image; the message names both.
        """
        return decode(self.encoded(index), name=self.names[index])

    def encoded(self, index: int) -> bytes:
        """The contents of the member.

        Raises:
            InvalidInput: the shard cannot be read, or is shorter than it was.
        """
        found = self._index
        start, size = int(found.start[index]), int(found.size[index])
        try:
            with open_regular(found.shards[int(found.shard[index])]) as shard:
                shard.seek(start)
                content = shard.read(size)
        except OSError as error:
            raise InvalidInput(
                f"{self.names[index]}: cannot be read ({error.strerror})", hint="check the shard and its permissions"
            ) from None
        if len(content) < size:
            raise InvalidInput(f"{self.names[index]}: cut short", hint="the shard has changed; start again")
        return content

    def stamp(self, index: int) -> str:
        """The place of image ``index`` in its shard, and when the shard was changed, in nanoseconds."""
        found = self._index
        try:
            changed = found.shards[int(found.shard[index])].stat().st_mtime_ns
        except OSError:
            return "missing"
        return f"{found.start[index]} {found.size[index]} {changed}"


class WebDataset(DatasetFormat):
    """A folder with shards ``*.tar``, or one shard. All samples are training images; there is no query and no gallery.

    The image of a sample is the member with the suffix of an image. The class is the integer in ``KEY.cls``. Other
    members are not read.
    """

    name = "webdataset"
    fallback = True

    def matches(self, path: Path) -> bool:
        """Whether the path is a shard, or a folder with one."""
        return any(_shards(path))

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`. The headers of all members are read, at about 20,000 a second."""
        plain, compressed = _shards(path)
        if not plain:
            if compressed:
                raise InvalidInput(
                    f"{compressed[0]}: the middle of a compressed shard cannot be read",
                    hint="decompress the shards, e.g. with gunzip",
                )
            raise InvalidInput(f"{path}: no shard *{_TAR}", hint="give a folder with tar files, or one of them")
        root = path if path.is_dir() else path.parent
        with report_skipped(root) as skipped:
            for shard in compressed:
                skipped.add(NO_IMAGE, str(shard))
            index = index_shards(plain, skipped)
        nothing = FileSplit([], [], root=root)
        return RetrievalData(
            name=f"webdataset {path}",
            train=ShardSplit(index),
            query=nothing,
            gallery=nothing,
            has_labels=index.labels is not None,
        )


def _shards(path: Path) -> tuple[list[Path], list[Path]]:
    """The shards at a path, sorted by name, and those that are compressed."""
    if path.is_file():
        files = [path]
    else:
        try:
            files = [Path(entry.path) for entry in visible(str(path)) if entry.is_file()] if path.is_dir() else []
        except OSError as error:
            raise unreadable(path, error) from None
    plain = [file for file in files if file.name.lower().endswith(_TAR)]
    return plain, [file for file in files if file.name.lower().endswith(_COMPRESSED)]


FORMAT = WebDataset()
