"""The interface of adapters of vector databases, found through entry points.

An adapter is a class under the entry-point group ``prunnet_export.galleries``. The name of the entry point is the
scheme of its addresses. Those of this project are ``milvus`` and ``qdrant``. Another package may register its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors import Metric, Stored, Vectors

Entries: TypeAlias = "tuple[list[str], list[int] | list[str] | None]"
"""Some names, and their labels if they are known."""


class GalleryDatabase(ABC):
    """A collection of vectors in a database, which is only read.

    Attributes:
        engine: The database with its version and the index that searches, for reports.
        dim: Length of a vector.
        metric: How the database compares a query with a vector.
        stored: The form of the stored numbers.
    """

    engine: str
    dim: int
    metric: Metric
    stored: Stored = "float32"

    @abstractmethod
    def __init__(self, address: GalleryAddress) -> None:
        """Open the collection.

        Args:
            address: Where it lies. ``address.token`` is the credential; it must not get into a message.

        Raises:
            InvalidInput: there is no such collection, or it has no vectors of one length.
            Unreachable: the database does not answer.
        """

    @abstractmethod
    def entries(self) -> Iterator[Entries]:
        """All names and labels, in parts. A name is text, and each is there once; labels are integers or texts."""

    @abstractmethod
    def search(self, queries: Vectors, k: int) -> list[list[str]]:
        """The names of the vectors nearest to each query, the best one first.

        Args:
            queries: float32 [n, dim], finite and not zero.
            k: How many; never more than there are vectors. Fewer may be found.
        """

    @abstractmethod
    def fetch(self, names: Sequence[str]) -> Vectors:
        """The vectors of some names, float32 [k, dim], in the order of the names, as the database has them."""
