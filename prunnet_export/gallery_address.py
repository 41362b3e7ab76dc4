"""The address of a gallery in a vector database, e.g. ``milvus://HOST:19530/COLLECTION``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._text import printable

TOKEN_VARIABLE = "PRUNNET_EXPORT_GALLERY_TOKEN"  # noqa: S105  # its name, no secret
_SCHEME = re.compile(r"([a-z][a-z0-9.-]*)://(.*)", re.DOTALL)
_FORM = (
    "expected SCHEME://PLACE/COLLECTION, and after it ?name=FIELD&vector=FIELD&label=FIELD if fields have other names"
)


@dataclass(frozen=True)
class GalleryAddress:
    """Where a gallery lies in a database. It holds no credentials.

    Attributes:
        scheme: The name under which an adapter is registered, e.g. ``milvus``.
        place: A host with a port, or a path of an embedded database.
        collection: Name of the collection.
        options: What follows the question mark, by name.
    """

    scheme: str
    place: str
    collection: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The address without options."""
        return f"{self.scheme}://{self.place}/{self.collection}"

    @property
    def title(self) -> str:
        """The kind of the database and its collection, for reports and manifests: an artifact does not tell a host."""
        return f"{self.scheme}:{self.collection}"

    @property
    def token(self) -> str | None:
        """The token of the database, from the environment variable ``PRUNNET_EXPORT_GALLERY_TOKEN``."""
        return os.environ.get(TOKEN_VARIABLE) or None

    def allow(self, *known: str) -> None:
        """Check that no other options are given.

        Raises:
            InvalidInput: there is another one. The message does not repeat its value, which may be a secret.
        """
        for name in self.options:
            if name not in known:
                raise InvalidInput(
                    f"{self}: unknown option {printable(name)[:40]!r}",
                    hint=f"known: {', '.join(known)}; a token belongs into {TOKEN_VARIABLE}",
                )


def gallery_place(text: str) -> Path | GalleryAddress:
    """A file, or the address of a database.

    Raises:
        InvalidInput: it is an address, and a part is missing or holds credentials.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        return Path(text)
    scheme, rest = found.groups()
    rest, _, query = rest.partition("?")
    if "@" in rest:  # the text is not repeated, because it may hold a password
        raise InvalidInput(
            f"the {scheme} address holds a user or a password", hint=f"put a token into {TOKEN_VARIABLE}"
        )
    place, _, collection = rest.rpartition("/")
    parts = [part.partition("=") for part in query.split("&") if part]
    if not place or not collection or not all(name and value for name, _, value in parts):
        raise InvalidInput(f"{scheme}://{printable(rest)} is no address of a gallery", hint=_FORM)
    return GalleryAddress(scheme, place, collection, {name: value for name, _, value in parts})
