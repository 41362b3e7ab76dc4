"""What makes a test of a data set easier than it seems: queries that lie in the gallery, and classes that were seen."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from prunnet_export.datasets import ImageSplit, RetrievalData
from prunnet_export.evaluating._sampling import evenly_spread
from prunnet_export.relevance import Indices, Mask

_LOG = logging.getLogger(__name__)
_MOST_READ = 5000  # of more images, some are read: all over the split
_PAIRS = 1000  # pairs that are looked up at once

_Key = tuple[int, int]


def warn_of_overlap(data: RetrievalData) -> None:
    """Warn if queries of a data set are in its gallery too, or if classes of its test are classes of its training."""
    for sentence in (_queries_in_gallery(data), _classes_of_training(data)):
        if sentence is not None:
            _LOG.warning("%s: %s", data.name, sentence)


def _classes_of_training(data: RetrievalData) -> str | None:
    if data.classes is None:
        return None
    train, test = data.classes
    seen = sorted(train & test)
    if not seen:
        return None
    return (
        f"{len(seen)} of the {len(test)} classes of the queries are also in the train split, e.g. {seen[0]}:"
        " after a training on it, the figures are not of new classes"
    )


def _queries_in_gallery(data: RetrievalData) -> str | None:
    if data.exclude_self:
        return None
    pairs = np.array(list(_same_images(data.query, data.gallery)), np.int64).reshape(-1, 2)
    queries = np.unique(pairs[~_junk(pairs, data), 0])
    if not len(queries):
        return None
    return (
        f"{len(queries)} of the {len(data.query)} queries are also in the gallery and find themselves, e.g."
        f" {data.query.names[int(queries[0])]}"
    )


def _junk(pairs: Indices, data: RetrievalData) -> Mask:
    """Whether the gallery image of each pair is removed from the query's ranking, bool [n]."""
    relevance, found = data.relevance, np.zeros(len(pairs), np.bool_)
    for start in range(0, len(pairs), _PAIRS):
        part = pairs[start : start + _PAIRS]
        (queries, query), (rows, row) = (np.unique(column, return_inverse=True) for column in part.T)
        junk = relevance.restricted(queries, rows).rows(0, len(queries))[1]
        found[start : start + _PAIRS] = junk[query, row]
    return found


def _same_images(query: ImageSplit, gallery: ImageSplit) -> Iterator[tuple[int, int]]:
    """Pairs of a query and a gallery image that are one file, or else have the same bytes.

    Images that a split draws or has as an array are not compared: to encode them would take long.
    """
    if not len(query) or not len(gallery) or not (_has_originals(query) and _has_originals(gallery)):
        return
    files = _files(gallery)
    if files is None or (ours := _files(query)) is None:
        yield from _same_bytes(query, _spread(range(len(query))), gallery, _spread(range(len(gallery))))
        return
    by_file, by_size = defaultdict(list), defaultdict(list)
    for row, (identity, size) in enumerate(files):
        by_file[identity].append(row)
        by_size[size].append(row)
    rest: dict[int, list[int]] = {}
    for index, (identity, size) in enumerate(ours):
        if identity in by_file:
            yield from ((index, row) for row in by_file[identity])
        elif size in by_size:
            rest[index] = by_size[size]
    queries = _spread(list(rest))
    yield from _same_bytes(query, queries, gallery, _spread(sorted({row for index in queries for row in rest[index]})))


def _has_originals(split: ImageSplit) -> bool:
    return type(split).encoded is not ImageSplit.encoded


def _files(split: ImageSplit) -> list[tuple[_Key, int]] | None:
    """The identity and the size of each image's file; None if the images are no files."""
    found = []
    for name in split.names:
        try:
            status = Path(name).stat()
        except (OSError, ValueError):
            return None
        found.append(((status.st_dev, status.st_ino), status.st_size))
    return found


def _same_bytes(
    query: ImageSplit, queries: Iterable[int], gallery: ImageSplit, rows: Iterable[int]
) -> Iterator[tuple[int, int]]:
    by_hash = defaultdict(list)
    for row in rows:
        by_hash[hashlib.sha256(gallery.encoded(row)).digest()].append(row)
    for index in queries if by_hash else ():
        yield from ((index, row) for row in by_hash.get(hashlib.sha256(query.encoded(index)).digest(), ()))


def _spread(indices: Iterable[int]) -> list[int]:
    """At most as many indices as are read, evenly spread."""
    known = list(indices)
    return [known[place] for place in evenly_spread(len(known), _MOST_READ).tolist()]
