"""Which vectors of a gallery belong to a query: by their labels and by their names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export.datasets import Labels, RetrievalData
from prunnet_export.relevance import ByLabel, Listed, Lists, Relevance
from prunnet_export.vectors import Names

_LOG = logging.getLogger(__name__)


def relevance_in_gallery(
    names: Sequence[str],
    labels: Labels | None,
    gallery_names: Names | None,
    gallery_labels: npt.NDArray[Any] | None,
    *,
    count: int,
) -> Relevance | None:
    """The relevance of a gallery's images to queries; None if nothing is known.

    Images of the query's label are relevant, and an image of the query's name is junk. Labels of the gallery that are
    text are compared with the folders of the query's name, integers with the query's label.

    Args:
        names: n names of the queries, relative to the data set.
        labels: int64 [n], the labels of the queries; None if they are not known.
        gallery_names: m names; None if they are not known.
        gallery_labels: m labels, integers or text; None if they are not known.
        count: The number m of gallery images.
    """
    own = None if gallery_names is None else gallery_names.find(names)
    if own is not None and not (own >= 0).any():
        own = None
    if labels is None or gallery_labels is None:
        if own is None:
            return None
        return Listed(Lists.of([[]] * len(names)), Lists.of([[row] if row >= 0 else [] for row in own.tolist()]), count)
    if gallery_labels.dtype.kind in "iu":
        return ByLabel(labels, gallery_labels.astype(np.int64), own=own)
    classes, numbers = np.unique(gallery_labels, return_inverse=True)
    number = {str(name): index for index, name in enumerate(classes)}
    of_queries = [next((number[part] for part in folders_of(name) if part in number), -1) for name in names]
    return ByLabel(np.array(of_queries, np.int64), numbers.reshape(-1).astype(np.int64), own=own)


def warn_of_unused_labels(data: RetrievalData) -> None:
    """Warn that the labels of a given gallery cannot be compared with a data set, and why."""
    if not data.has_labels:
        reason = "the data set has no labels"
    elif data.judged is not None:
        reason = "the data set has lists of what is relevant to each query, and they are of its own gallery"
    elif data.exclude_self:
        reason = "the queries of the data set are its gallery, and the file does not say which row is a query itself"
    else:
        reason = "the data set leaves out images of a query's own camera, and the file names no cameras"
    _LOG.warning("the labels of the gallery are not used, and neighbours are compared instead: %s", reason)


def folders_of(name: str) -> list[str]:
    """The folders of a file: their whole path, then each from the innermost one outwards."""
    parent = PurePosixPath(name).parent
    return [parent.as_posix(), *reversed(parent.parts)]
