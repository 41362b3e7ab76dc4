"""Opening a gallery in a database by its address."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export._foreign import foreign_code, guarded, is_ours
from prunnet_export._imports import plugin, plugin_hint
from prunnet_export.galleries._database import Entries, GalleryDatabase
from prunnet_export.galleries._rows import DatabaseRows
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors import METRICS, Names, StoredVectors

_LOG = logging.getLogger(__name__)
_GROUP, _KIND = "galleries", "gallery database"


def open_database(address: GalleryAddress) -> StoredVectors:
    """The vectors of a collection. Their names and labels are listed now; vectors are fetched when they are asked for.

    Args:
        address: Where it lies. Its scheme is a name that a package registered under ``prunnet_export.galleries``.

    Raises:
        UnknownName: no adapter has this scheme.
        MissingExtra: the client of the database is not installed.
        InvalidInput: the collection is empty or unusable, a name is there twice, or labels are incomplete.
        Unreachable: the database does not answer.
        UsageError: the adapter of another package failed.
    """
    kind = plugin(_GROUP, _KIND, address.scheme, expected=type)
    what, hint = f"{_KIND} {address.scheme!r} failed", plugin_hint(_GROUP, address.scheme)
    if not issubclass(kind, GalleryDatabase):
        raise UsageError(f"{what}: {kind.__name__} is no GalleryDatabase", hint=hint)
    with foreign_code(what, hint):
        database: GalleryDatabase = guarded(kind, GalleryDatabase, what, hint)(address)
        stated = (database.dim, database.metric, database.engine)
    if not (isinstance(stated[0], int) and stated[0] > 0 and stated[1] in METRICS and isinstance(stated[2], str)):
        raise UsageError(f"{what}: it states the length, the metric and the engine {stated}", hint=hint)
    _LOG.info("listing the names in %s", address)
    names, labels = _listed(address, _parts(database, what, hint))
    source = DatabaseRows(database, names, address)
    return StoredVectors(
        address, len(names), database.dim, database.stored, source, names, labels, metric=database.metric
    )


def _parts(database: GalleryDatabase, what: str, hint: str) -> Iterator[Entries]:
    """The entries. Each step of another package's iterator is guarded."""
    parts = iter(database.entries())
    while True:
        if is_ours(type(database)):
            part = next(parts, None)
        else:
            with foreign_code(f"{what}, entries()", hint):
                part = next(parts, None)
        if part is None:
            return
        yield part


def _listed(address: GalleryAddress, parts: Iterator[Entries]) -> tuple[Names, npt.NDArray[Any] | None]:
    """The names, and one label for each, or None."""
    labels: list[Any] = []
    unlabelled = False

    def names() -> Iterator[str]:
        nonlocal unlabelled
        for some, of_some in parts:
            unlabelled = unlabelled or of_some is None
            if of_some is not None and len(of_some) != len(some):
                raise InvalidInput(f"{address}: {len(of_some)} labels for {len(some)} names", hint="update the adapter")
            labels.extend(of_some or ())
            yield from some

    found = Names(names(), address)
    if not len(found):
        raise InvalidInput(f"{address} is empty", hint="give the collection that holds the gallery")
    if unlabelled:
        if labels:
            raise InvalidInput(f"{address}: only some vectors have a label", hint="give all of them one, or none")
        return found, None
    array = np.array(labels)
    if array.dtype.kind not in "iU" or array.ndim != 1:
        raise InvalidInput(f"{address}: the labels are {array.dtype}", hint="labels are integers, or texts")
    return found, array if array.dtype.kind == "U" else array.astype(np.int64)
