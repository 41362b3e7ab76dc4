"""The samples of one tar shard in the layout of webdataset.

All errors are InvalidInput, and name the shard and the member.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular
from prunnet_export.training.data._image_files import Skipped
from prunnet_export.training.data._lists import integer

_LABEL = ".cls"
_LABEL_BYTES = 20  # as many as an integer of 64 bits has digits
_USUAL = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_END = bytes(512)  # a block of zeros ends a tar file
_AGAIN = "copy the shard again, or make it again"


class Sample(NamedTuple):
    """An image in a shard.

    Attributes:
        key: What the names of the sample's members have in common.
        name: Name of the image's member.
        start: Where the image begins in the shard, bytes.
        size: Length of the image, bytes.
        label: The class, or None.
    """

    key: str
    name: str
    start: int
    size: int
    label: int | None


class _Member(NamedTuple):
    """A file in a shard."""

    name: str
    key: str
    suffix: str
    start: int
    size: int
    text: str  # the contents, if it is a label


def read_samples(shard: Path, suffixes: frozenset[str], skipped: Skipped) -> Iterator[Sample]:
    """The samples of a shard: the members one after the other whose names are equal up to the first dot.

    Args:
        shard: A tar file.
        suffixes: The suffixes of images.
        skipped: Takes the members that are links or devices.
    """
    for key, group in groupby(_members(shard, skipped), lambda member: member.key):
        members = list(group)
        image, labels = _image(shard, members, suffixes), [one for one in members if one.suffix == _LABEL]
        label = integer(f"{shard}: {labels[0].name}", labels[0].text, "label") if labels else None
        yield Sample(key, image.name, image.start, image.size, label)


def _image(shard: Path, members: list[_Member], suffixes: frozenset[str]) -> _Member:
    """The image of a sample."""
    first = f"{shard}: {members[0].name}"
    if len({member.suffix for member in members}) < len(members):
        raise InvalidInput(f"{first}: a member of this sample is there twice", hint="remove one of the two")
    # Beside `1.jpg` there can be `1.pcd` or `1.mask.png`, which Pillow would read too.
    images = (
        [member for member in members if member.suffix in _USUAL]
        or [member for member in members if member.suffix in suffixes]
        or [member for member in members if Path(member.suffix).suffix in suffixes]
    )
    if not images:
        raise InvalidInput(f"{first}: no image in this sample", hint="a sample needs a member such as KEY.jpg")
    if len(images) > 1:
        raise InvalidInput(f"{shard}: {images[1].name}: a second image in this sample", hint="leave one in each sample")
    return images[0]


def _members(shard: Path, skipped: Skipped) -> Iterator[_Member]:
    """The files in a shard, in their order, without hidden ones."""
    last = "its start"
    try:
        length = shard.stat().st_size
        with open_regular(shard) as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            while (info := tar.next()) is not None:
                # tarfile keeps what it has read, a kilobyte for each member.
                tar.members.clear()  # type: ignore[attr-defined]  # typeshed does not know it
                last = info.name
                if info.size < 0 or info.offset_data + info.size > length:
                    raise InvalidInput(f"{shard}: cut short inside of {last}", hint=_AGAIN)
                member = _member(shard, tar, info, skipped)
                if member is not None:
                    yield member
            end = tar.offset
        # At a damaged header tarfile stops as it does at the end.
        with open_regular(shard) as rest:
            rest.seek(end)
            if rest.read(len(_END)) != _END:
                raise InvalidInput(f"{shard}: damaged or cut short after {last}", hint=_AGAIN)
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError) as error:
        raise InvalidInput(
            f"{shard}: not readable after {last} ({error})", hint="a shard is a tar file that is not compressed"
        ) from None


def _member(shard: Path, tar: tarfile.TarFile, info: tarfile.TarInfo, skipped: Skipped) -> _Member | None:
    """A file; None if it is a folder, a hidden file, or no file that can be read at its place."""
    name = info.name.removeprefix("./")
    if info.isdir() or any(part.startswith(".") for part in name.split("/")):
        return None
    if not info.isreg() or info.issparse():
        skipped.add("no file in a shard", f"{shard}:{name}")
        return None
    folder, slash, file = name.rpartition("/")
    stem, dot, rest = file.partition(".")
    suffix, text = f"{dot}{rest.lower()}", ""
    if suffix == _LABEL and (opened := tar.extractfile(info)) is not None:
        text = opened.read(_LABEL_BYTES + 1).decode("ascii", "replace").strip()
    return _Member(name, f"{folder}{slash}{stem}", suffix, info.offset_data, info.size, text)
