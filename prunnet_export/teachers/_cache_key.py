"""What the vectors in a cache depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec


class CacheKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that cached vectors depend on, except the contents of the images.

    Attributes:
        teacher: The teacher's identity.
        name: The teacher's name, for people.
        dim: Length of a vector.
        count: Number of images.
        names_sha256: SHA-256 of the images' names in their order.
        views: Vectors of each image.
        seed: Seed of the views.
        flip: Whether views may be mirrored.
    """

    teacher: str
    name: str
    dim: int
    count: int
    names_sha256: str
    views: int
    seed: int
    flip: bool
    format: Literal["prunnet-teacher-vectors"] = "prunnet-teacher-vectors"
    version: Literal[1] = 1

    def folder_name(self) -> str:
        """A folder name that no other key has."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]


def hash_names(names: Iterable[str]) -> str:
    """The SHA-256 of names in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()
