"""The labels of a gallery file that has images of the data set: are they the data set's?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._gallery_labels import folders_of
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._sampling import evenly_spread
from prunnet_export.relevance import Mask
from prunnet_export.vectors import Names, unit_vectors

_LOOKED_AT = 500
_SAME = 0.999  # the cosine of two vectors of one image
_ROWS = 5  # an image may be in the gallery several times, with several labels
_LEAST = 10  # fewer common images prove nothing
_DIFFERING = 0.05
_NAMES = 10_000  # of more names, some from all over the gallery are looked at
_IN_CLASS_FOLDERS = 0.5  # of fewer names, the folders that are also labels are a coincidence
_HINT = "its labels have to be the data set's; leave them out to compare neighbours instead"


def check_own_labels(gallery: Gallery, images: ImageSplit, embed: Callable[[Labels], Embeddings], *, data: str) -> None:
    """Check that a gallery gives images of the data set the data set's labels.

    Some of the data set's gallery images are embedded. An image is in the gallery if a row has almost the same vector.

    Args:
        gallery: A gallery of the dense network, with labels.
        images: The gallery images of the data set.
        embed: Embeds images at some indices with the dense network, float32 [k, d].
        data: Name of the data set, for the message.

    Raises:
        InvalidInput: more than 5 % of the common images have another label.
    """
    if gallery.labels is None or not len(images):
        return
    some = evenly_spread(len(images), _LOOKED_AT)
    vectors = unit_vectors(embed(some))
    told_apart = _told_apart(vectors, images.labels[some])
    some, vectors = some[told_apart], vectors[told_apart]
    if len(some) < _LEAST:
        return
    rows = gallery.nearest(vectors, min(_ROWS, gallery.entry.count))
    common = differing = 0
    names = images.relative_names
    for index, vector, near in zip(some.tolist(), vectors, rows, strict=True):
        same = near[unit_vectors(gallery.take(near)) @ vector >= _SAME]
        if len(same):
            common += 1
            labels = gallery.labels[same]
            differing += not _has_label(labels, int(images.labels[index]), names[index])
    if common >= _LEAST and differing > _DIFFERING * common:
        raise InvalidInput(
            f"{gallery.entry.file or 'the gallery'}: {differing} of {common} images that it shares with {data} have"
            " other labels in it",
            hint=_HINT,
        )


def check_labels_of_names(gallery: Gallery, splits: Sequence[ImageSplit], *, data: str) -> None:
    """Check that the labels of a gallery are those of its names.

    A label that is text has to be a folder of the image's name, if most names are in folders that are labels. A label
    that is an integer has to be the class number that the data set gives the image of this name. Without names, or
    with names that say no class, nothing is checked.

    Args:
        gallery: A gallery; its labels are those of the data set's classes.
        splits: The images of the data set, with class numbers.
        data: Name of the data set, for the message.

    Raises:
        InvalidInput: more than 5 % of these images have another label.
    """
    names, labels = gallery.names, gallery.labels
    if names is None or labels is None:
        return
    if labels.dtype.kind in "iu":
        same = [one for split in splits for one in _same_numbers(names, labels, split)]
        than = f"in {data}"
    else:
        rows = evenly_spread(len(names), _NAMES).tolist()
        words = set(map(str, np.unique(labels)))
        folders = {row: set(folders_of(names[row])) for row in rows}
        same = [str(labels[row]) in of_name for row, of_name in folders.items() if of_name & words]
        than = "the folders of their names"
        if len(same) < _IN_CLASS_FOLDERS * len(rows):
            return
    differing = len(same) - sum(same)
    if len(same) >= _LEAST and differing > _DIFFERING * len(same):
        raise InvalidInput(
            f"{gallery.entry.file or 'the gallery'}: {differing} of {len(same)} images have other labels in it than"
            f" {than}",
            hint=_HINT,
        )


def _same_numbers(names: Names, labels: Labels, split: ImageSplit) -> list[bool]:
    """For each image of a split that has a class and is in a gallery: is its label there its class number?"""
    rows = names.find(split.relative_names)
    found = (rows >= 0) & (split.labels >= 0)
    same: list[bool] = (labels[rows[found]] == split.labels[found]).tolist()
    return same


def _told_apart(vectors: Embeddings, labels: Labels) -> Mask:
    """Which images have another vector than all images of other classes; a weak network gives many the same one."""
    alike = (vectors @ vectors.T >= _SAME) & (labels[:, None] != labels)
    told_apart: Mask = ~np.any(alike, axis=1)
    return told_apart


def _has_label(labels: Labels, label: int, name: str) -> bool:
    """Whether one of the labels, which are integers or text, is that of an image."""
    if labels.dtype.kind in "iu":
        return label in labels
    return not {str(one) for one in labels}.isdisjoint(folders_of(name))
